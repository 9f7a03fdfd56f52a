//! One tenant's client of both ingests. It writes down every call and what became of it, and judges nothing.

mod bulk;

use std::time::Duration;

use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use gristmill_schemas::{
    Digest, JobId, JobState, Lineage, Tensor,
    api::{JobView, Output, Problem, ResultView},
    codec,
};
use reqwest::{Method, RequestBuilder, Response, header};
use tokio::time::timeout;

use crate::{
    Client,
    chaos::{
        history::{Answer, Call, Denial, End, History, Way},
        plan::Step,
        question,
    },
};

/// A client that waits no longer than this has been promised a reply sooner.
const PATIENCE: Duration = Duration::from_secs(37);
/// The wait that a long poll asks for, in seconds.
const LONG_POLL: u64 = 10;
/// The wait that a submission asks for, in seconds.
const SUBMIT_WAIT: u64 = 5;
const MSGPACK: &str = "application/msgpack";

/// One tenant's client.
#[derive(Debug, Clone)]
pub struct Caller {
    /// An index of [`crate::chaos::plan::TENANTS`].
    pub tenant: usize,
    /// One a door.
    pub doors: Vec<Client>,
    /// Where everything is written down.
    pub history: History,
}

impl Caller {
    fn door(&self, door: usize) -> &Client {
        &self.doors[door % self.doors.len()]
    }

    /// Hands a job in, once.
    pub async fn submit(&self, door: usize, step: &Step) -> End {
        let call = Call::Submit {
            nonce: step.nonce,
            key: step.key.clone(),
        };
        let mut request = question::request(step.nonce);
        request.deadline = step.deadline;
        if step.poison {
            request.metadata.insert("poison".to_owned(), "yes".to_owned());
        }
        let mut http = self
            .door(door)
            .request(Method::POST, "/v1/jobs")
            .header(header::CONTENT_TYPE, MSGPACK);
        if let Some(key) = &step.key {
            http = http.header("idempotency-key", key);
        }
        if step.waits {
            http = http.header("prefer", format!("wait={SUBMIT_WAIT}"));
        }
        let invoked = self.history.invoke(self.tenant, call);
        let end = self.view(http.body(request.to_msgpack())).await;
        invoked.end(&end);
        end
    }

    /// Reads a job once, by any way but its events.
    pub async fn read(&self, door: usize, id: JobId, way: Way) -> End {
        let path = match way {
            Way::Poll => format!("/v1/jobs/{id}?include=outputs"),
            Way::LongPoll | Way::Event => format!("/v1/jobs/{id}?wait={LONG_POLL}s&include=outputs"),
            Way::Result => format!("/v1/jobs/{id}/result"),
            Way::Lineage => format!("/v1/jobs/{id}/lineage"),
        };
        let invoked = self.history.invoke(self.tenant, Call::Read { id, way });
        let http = self.door(door).request(Method::GET, &path);
        let end = match way {
            Way::Poll | Way::LongPoll | Way::Event => self.view(http).await,
            Way::Result => self.result(http).await,
            Way::Lineage => self.lineage(http).await,
        };
        invoked.end(&end);
        end
    }

    /// Follows a job's events until the stream ends; what the last one said.
    pub async fn events(&self, door: usize, id: JobId) -> End {
        let call = || Call::Read { id, way: Way::Event };
        let path = format!("/v1/jobs/{id}/events?include=outputs");
        let mut invoked = self.history.invoke(self.tenant, call());
        let sent = timeout(PATIENCE, self.door(door).request(Method::GET, &path).send()).await;
        let reply = match accepted(sent).await {
            Ok(reply) => reply,
            Err(end) => {
                invoked.end(&end);
                return end;
            }
        };
        let mut events = reply.bytes_stream().eventsource();
        let mut last = End::Info("the stream said nothing".to_owned());
        loop {
            let end = match timeout(PATIENCE, events.next()).await {
                Err(_) => End::Info("no event in time".to_owned()),
                Ok(None) => End::Info("the stream has ended".to_owned()),
                Ok(Some(Err(error))) => End::Info(error.to_string()),
                // a part of a job says nothing of how it ends
                Ok(Some(Ok(event))) if event.event == "progress" => continue,
                Ok(Some(Ok(event))) => match serde_json::from_str::<JobView>(&event.data) {
                    Ok(view) => End::Ok(answer_of(view)),
                    Err(error) => End::Info(format!("an event that is none of ours: {error}")),
                },
            };
            invoked.end(&end);
            match end {
                End::Ok(answer) if answer.state.is_terminal() => return End::Ok(answer),
                End::Ok(answer) => last = End::Ok(answer),
                End::Info(_) | End::Fail(_) => return last,
            }
            invoked = self.history.invoke(self.tenant, call());
        }
    }

    /// Cancels a job.
    pub async fn cancel(&self, door: usize, id: JobId) -> End {
        let invoked = self.history.invoke(self.tenant, Call::Cancel(id));
        let http = self.door(door).request(Method::POST, &format!("/v1/jobs/{id}/cancel"));
        let end = self.view(http).await;
        invoked.end(&end);
        end
    }

    /// Tries to read somebody else's job.
    pub async fn spy(&self, door: usize, id: JobId) {
        let invoked = self.history.invoke(self.tenant, Call::Foreign(id));
        let http = self.door(door).request(Method::GET, &format!("/v1/jobs/{id}"));
        invoked.end(&self.view(http).await);
    }

    async fn view(&self, http: RequestBuilder) -> End {
        match body(http.header(header::ACCEPT, MSGPACK)).await {
            Err(end) => end,
            Ok(bytes) => match codec::decode_part::<JobView>(&bytes) {
                Ok(view) => End::Ok(answer_of(view)),
                Err(error) => End::Info(format!("a reply that is none of ours: {error}")),
            },
        }
    }

    async fn result(&self, http: RequestBuilder) -> End {
        match body(http.header(header::ACCEPT, MSGPACK)).await {
            Err(end) => end,
            Ok(bytes) => match codec::decode_part::<ResultView>(&bytes) {
                Ok(view) => End::Ok(Answer {
                    id: view.id,
                    state: JobState::Succeeded,
                    completed_at: None,
                    outputs: Some(digest(view.outputs)),
                    inputs: None,
                    failure: None,
                }),
                Err(error) => End::Info(format!("a reply that is none of ours: {error}")),
            },
        }
    }

    async fn lineage(&self, http: RequestBuilder) -> End {
        match body(http).await {
            Err(end) => end,
            Ok(bytes) => match serde_json::from_slice::<Lineage>(&bytes) {
                Ok(lineage) => End::Ok(Answer {
                    id: lineage.job_id,
                    state: lineage.state,
                    completed_at: lineage.stages.committed_at,
                    outputs: lineage.output_digest,
                    inputs: lineage.input_digest,
                    failure: lineage.failure.map(|failure| failure.code),
                }),
                Err(error) => End::Info(format!("a reply that is none of ours: {error}")),
            },
        }
    }
}

fn digest(outputs: Vec<Output>) -> Digest {
    let tensors: Vec<Tensor> = outputs.into_iter().map(|output| output.0).collect();
    Digest::of_tensors(&tensors)
}

fn answer_of(view: JobView) -> Answer {
    Answer {
        id: view.id,
        state: view.status,
        completed_at: view.completed_at,
        outputs: view.outputs.map(digest),
        inputs: None,
        failure: view.failure.map(|failure| failure.code),
    }
}

/// A success's body, or how the call ended instead.
async fn body(http: RequestBuilder) -> Result<Vec<u8>, End> {
    let reply = accepted(timeout(PATIENCE, http.send()).await).await?;
    match timeout(PATIENCE, reply.bytes()).await {
        Ok(Ok(bytes)) => Ok(bytes.to_vec()),
        Ok(Err(error)) => Err(End::Info(words(&error))),
        Err(_) => Err(End::Info("the body never came".to_owned())),
    }
}

async fn accepted(sent: Result<reqwest::Result<Response>, tokio::time::error::Elapsed>) -> Result<Response, End> {
    match sent {
        Err(_) => Err(End::Info("no reply in time".to_owned())),
        Ok(Err(error)) if error.is_connect() => Err(End::Fail(Denial {
            status: 0,
            code: "unreachable".to_owned(),
            retry_after: None,
            id: None,
        })),
        Ok(Err(error)) => Err(End::Info(words(&error))),
        Ok(Ok(reply)) if reply.status().is_success() => Ok(reply),
        Ok(Ok(reply)) => Err(denied(reply).await),
    }
}

async fn denied(reply: Response) -> End {
    let status = reply.status().as_u16();
    let retry_after = reply.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok().map(Duration::from_secs));
    let bytes = match timeout(PATIENCE, reply.bytes()).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return End::Info(words(&error)),
        Err(_) => return End::Info("the body never came".to_owned()),
    };
    let problem: Option<Problem> = serde_json::from_slice(&bytes).ok();
    let (code, id) = problem.map_or_else(
        || (format!("http_{status}"), None),
        |problem| (problem.code, problem.id),
    );
    End::Fail(Denial {
        status,
        code,
        retry_after,
        id,
    })
}

/// An error with its causes: the outermost one says only that a request failed.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
