//! The query by which ends of jobs are chosen, for the list and for the stream alike.

use axum::http::Uri;
use gristmill_schemas::{JobState, Refusal, RefusalCode, Span, Timestamp, infer::MAX_METADATA};

use crate::{
    filter::Filter,
    http::{App, page, query},
    keys::Caller,
    list::Parts,
};

/// What a query asks for. Which of the parameters a route takes is said when it is read.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) filter: Filter,
    /// Whether `status` names jobs that run: of a list alone.
    pub(crate) names_running: bool,
    /// Nothing from before this moment.
    pub(crate) since: Option<Timestamp>,
    /// Whether outputs are to be shown.
    pub(crate) outputs: bool,
    /// Of a list: the most of a page.
    pub(crate) limit: usize,
    /// Of a list: where the page begins.
    pub(crate) cursor: Option<String>,
}

/// Parameters of every selection; labels come as `metadata.<key>` besides.
const FILTERS: [&str; 3] = ["model", "status", "since"];
const LABEL: &str = "metadata.";
/// In place of an end: that there is none yet, and a worker has the job.
const RUNNING: &str = "running";

impl Selection {
    /// Reads the query of a route that takes `more` parameters than the filters.
    ///
    /// # Errors
    /// `invalid_value`, which names the parameter.
    pub(crate) fn of(uri: &Uri, more: &[&str], (app, caller): (&App, &Caller)) -> Result<Self, Refusal> {
        let pairs = query::read::<Vec<(String, String)>>(uri)?;
        let mut selection = Self {
            filter: Filter {
                grant: caller.grant.clone(),
                ..Filter::default()
            },
            names_running: false,
            since: None,
            outputs: false,
            limit: page::USUAL,
            cursor: None,
        };
        for (name, value) in pairs {
            if !name.starts_with(LABEL) && !FILTERS.contains(&name.as_str()) && !more.contains(&name.as_str()) {
                let known = [&FILTERS[..], &["metadata.<key>"], more].concat().join(", ");
                let refusal = Refusal::new(RefusalCode::InvalidValue, "there is no such parameter").at(short(&name));
                return Err(refusal.limit(known));
            }
            selection.take(&name, value, app)?;
        }
        Ok(selection)
    }

    /// Which parts of the list it is about: where `status` names nothing, both.
    pub(crate) fn parts(&self) -> Parts {
        match (self.names_running, self.filter.states.is_empty()) {
            (true, true) => Parts::Running,
            (false, false) => Parts::Ended,
            (true, false) | (false, true) => Parts::Both,
        }
    }

    fn take(&mut self, name: &str, value: String, app: &App) -> Result<(), Refusal> {
        let wrong = |detail: &str| Refusal::new(RefusalCode::InvalidValue, detail).at(short(name));
        match name {
            "model" => {
                for model in value.split(',') {
                    let model = model
                        .parse()
                        .map_err(|_| wrong("expected names of models, with commas between"))?;
                    self.filter.models.insert(model);
                }
            }
            "status" => {
                for word in value.split(',') {
                    if word == RUNNING {
                        self.names_running = true;
                        continue;
                    }
                    let state = word.parse().ok().filter(|state: &JobState| state.is_terminal());
                    let detail =
                        "expected succeeded, failed, expired or cancelled, in a list running too, with commas between";
                    self.filter.states.push(state.ok_or_else(|| wrong(detail))?);
                }
            }
            "since" => {
                let detail = "expected a time of RFC 3339, or how long ago, such as 15min";
                self.since = Some(moment(&value, app.jobs.clock.now()).ok_or_else(|| wrong(detail))?);
            }
            "include" if value == "outputs" => self.outputs = true,
            "include" => return Err(wrong("include may be \"outputs\"")),
            "limit" => self.limit = page::size(&value)?,
            "cursor" => self.cursor = Some(value),
            label => {
                let key = label.trim_start_matches(LABEL).to_owned();
                self.filter.metadata.insert(key, value);
                if self.filter.metadata.len() > MAX_METADATA {
                    return Err(wrong("too many labels").limit(format_args!("{MAX_METADATA} labels")));
                }
            }
        }
        Ok(())
    }
}

fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Some(time.into());
    }
    let ago: Span = text.parse().ok()?;
    Some(Timestamp::from_millis(
        now.as_millis().saturating_sub(u64::from(ago.as_millis())),
    ))
}

/// What a client called a parameter, as far as it is worth quoting.
fn short(name: &str) -> String {
    name.chars().take(64).collect()
}
