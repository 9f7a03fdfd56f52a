//! The machinery by which a running stack is broken from outside, each in a file of its own. It knows nothing of rows and
//! promises: what is done when, and what it proves, is the chaos suite's.

pub mod clock;
pub mod disk;
pub mod disks;
pub mod link;
pub mod proxy;

pub use disk::Disk;
pub use disks::Disks;
pub use link::Link;
pub use proxy::{Damage, Proxy, Way, Weather};
