//! Nesting bombs, on a stack as small as a thread's usual one: refused in both encodings, by their own code.

use gristmill_schemas::{Envelope, InferRequest, Lineage, Outcome, RefusalCode, codec};

/// What a thread has by default.
const STACK: usize = 2 << 20;
const DEEP: usize = 1_000_000;

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(test).unwrap();
    thread.join().unwrap();
}

fn json_refusal(body: String) -> RefusalCode {
    InferRequest::from_json(body.as_bytes(), 1 << 20).unwrap_err().code
}

fn msgpack_refusal(body: &[u8]) -> RefusalCode {
    InferRequest::from_msgpack(body, 1 << 20).unwrap_err().code
}

/// `{key: <bomb>}` in MessagePack.
fn field(key: &str, bomb: Vec<u8>) -> Vec<u8> {
    [vec![0x81], codec::encode(&key), bomb].concat()
}

/// Lists and maps of one entry, one in the other.
fn bombs() -> [Vec<u8>; 2] {
    [vec![0x91; DEEP], [0x81, 0xa1, b'a'].repeat(DEEP)]
}

#[test]
fn deep_json_is_refused() {
    on_a_small_stack(|| {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let bomb = format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
            assert_eq!(json_refusal(bomb.clone()), RefusalCode::NestingTooDeep);
            for key in ["model", "inputs", "metadata", "provenance", "later"] {
                assert_eq!(
                    json_refusal(format!(r#"{{"{key}":{bomb}}}"#)),
                    RefusalCode::NestingTooDeep
                );
            }
        }
    });
}

#[test]
fn deep_json_data_is_refused() {
    on_a_small_stack(|| {
        let body = |data: &str| {
            format!(r#"{{"model":"m","inputs":[{{"name":"x","datatype":"FP32","shape":[1],"data":{data}}}]}}"#)
        };
        let bomb = format!("{}1{}", "[".repeat(DEEP), "]".repeat(DEEP));
        assert_eq!(json_refusal(body(&bomb)), RefusalCode::DataLengthMismatch);
        let bomb = format!("[{}1{}]", r#"{"a":"#.repeat(DEEP), "}".repeat(DEEP));
        assert_eq!(json_refusal(body(&bomb)), RefusalCode::WrongType);
        let unclosed = body(&"[".repeat(DEEP));
        assert_eq!(json_refusal(unclosed), RefusalCode::MalformedBody);
    });
}

#[test]
fn deep_msgpack_is_refused() {
    on_a_small_stack(|| {
        for bomb in bombs() {
            assert_eq!(msgpack_refusal(&bomb), RefusalCode::NestingTooDeep);
            for key in ["model", "inputs", "metadata", "provenance", "later"] {
                assert_eq!(msgpack_refusal(&field(key, bomb.clone())), RefusalCode::NestingTooDeep);
            }
        }
    });
}

#[test]
fn deep_messages_are_refused() {
    on_a_small_stack(|| {
        for bomb in bombs() {
            for bytes in [bomb.clone(), field("jobs", bomb.clone()), field("later", bomb.clone())] {
                assert!(Envelope::decode(&bytes).is_err());
                assert!(Outcome::decode(&bytes).is_err());
                assert!(Lineage::decode(&bytes).is_err());
            }
        }
    });
}
