//! A webhook's URL: what is read has nothing in it that could be taken for something else.
#![no_main]

use gristmill_schemas::WebhookUrl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(url) = text.parse::<WebhookUrl>() else {
        return;
    };
    let written = url.to_string();
    assert_eq!(written.parse().as_ref(), Ok(&url));
    assert!(written.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(matches!(url.as_url().scheme(), "http" | "https"));
    assert!(url.as_url().host_str().is_some_and(|host| !host.is_empty() && !host.contains('@')));
    assert!(url.destination().starts_with(url.as_url().scheme()));
});
