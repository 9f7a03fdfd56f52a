//! What an operator can say about webhooks.

use gristmill_schemas::Span;
use ipnet::IpNet;

/// Where webhooks may go, and how often they are tried.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Webhooks")]
pub struct WebhookArgs {
    /// Networks that webhooks may call besides public addresses, over http:// too: 10.1.0.0/16, with commas between
    #[arg(long, env = "GRISTMILL_WEBHOOK_ALLOW", value_name = "CIDR", value_delimiter = ',')]
    pub webhook_allow: Vec<IpNet>,
    /// The pauses before each further attempt; after the last one a delivery has failed
    #[arg(
        long,
        env = "GRISTMILL_WEBHOOK_RETRIES",
        value_name = "TIME",
        value_delimiter = ',',
        default_value = "5s,30s,2m,10m,30m,1h,2h,4h"
    )]
    pub webhook_retries: Vec<Span>,
}
