//! `gristmill loadtest`: puts load on a server and shows what became of every job. The test itself is `gristmill-loadtest`'s.

use gristmill_loadtest::LoadtestArgs;

use crate::exit::NotPassed;

#[derive(Debug, clap::Args)]
pub(crate) struct LoadtestCommand {
    #[command(flatten)]
    args: LoadtestArgs,
}

impl LoadtestCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let report = Box::pin(gristmill_loadtest::run(self.args.clone())).await?;
        print!("{report}");
        if let Some(compared) = gristmill_loadtest::comparison(&self.args, &report)? {
            print!("{compared}");
        }
        if report.passed() { Ok(()) } else { Err(NotPassed.into()) }
    }
}
