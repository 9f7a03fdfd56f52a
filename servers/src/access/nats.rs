//! The users of nats-server. What JetStream's API is asked under which subject: docs.nats.io, "NATS API Reference".

use gristmill_schemas::subject::{DEAD_LETTERS, DEAD_LETTERS_WILDCARD, REQUESTS, STREAM, WILDCARD};

use super::{Access, Role};

/// What one role may send to and listen to. Replies to its own requests come to inboxes of its own.
struct Rules {
    publish: Vec<String>,
    subscribe: Vec<String>,
    /// Whether it may answer who asks it.
    replies: bool,
}

pub(super) fn authorization(access: &Access) -> String {
    let users: String = Role::ALL.into_iter().map(|role| user(access, role)).collect();
    format!("authorization {{\n  users = [\n{users}  ]\n}}\n")
}

fn user(access: &Access, role: Role) -> String {
    let (name, password) = (role.as_str(), access.password(role));
    let permissions = rules(role).map_or_else(String::new, |rules| {
        let replies = if rules.replies { ", allow_responses: true" } else { "" };
        format!(
            ", permissions: {{ publish: {{ allow: [{}] }}, subscribe: {{ allow: [{}] }}{replies} }}",
            quoted(&rules.publish),
            quoted(&rules.subscribe),
        )
    });
    format!("    {{ user: \"{name}\", password: \"{password}\"{permissions} }}\n")
}

/// `None` for everything.
fn rules(role: Role) -> Option<Rules> {
    let stream = |call: &str, stream: &str| format!("$JS.API.STREAM.{call}.{stream}");
    let consumer = |call: &str| format!("$JS.API.CONSUMER.{call}.{STREAM}.>");
    let inbox = format!("_INBOX.{}.>", role.as_str());
    match role {
        Role::Ingest => {
            let mut publish = vec![WILDCARD.to_owned(), consumer("INFO")];
            for name in [STREAM, DEAD_LETTERS] {
                publish.extend(["INFO", "CREATE", "UPDATE", "MSG.GET", "MSG.DELETE"].map(|call| stream(call, name)));
            }
            Some(Rules {
                publish,
                subscribe: vec![inbox, REQUESTS.to_owned()],
                replies: true,
            })
        }
        Role::Worker => {
            let mut publish = vec![format!("$JS.ACK.{STREAM}.>"), DEAD_LETTERS_WILDCARD.to_owned()];
            publish.extend([stream("INFO", STREAM), stream("INFO", DEAD_LETTERS)]);
            publish.push(stream("MSG.DELETE", DEAD_LETTERS));
            publish.extend(["CREATE", "DURABLE.CREATE", "INFO", "MSG.NEXT"].map(consumer));
            Some(Rules {
                publish,
                subscribe: vec![inbox],
                replies: false,
            })
        }
        Role::Client => Some(Rules {
            publish: vec![REQUESTS.to_owned()],
            subscribe: vec![inbox],
            replies: false,
        }),
        Role::Operator => None,
    }
}

fn quoted(subjects: &[String]) -> String {
    let quoted: Vec<String> = subjects.iter().map(|subject| format!("\"{subject}\"")).collect();
    quoted.join(", ")
}
