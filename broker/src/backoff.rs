//! How long to pause before something is tried again: full jitter, so that processes which lost the same server do not come
//! back to it all at once.

use std::time::Duration;

/// Pauses of one row of tries.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// The first pause is at most `first`; the bound doubles with every pause up to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// The next pause: anything from nothing to its bound, each as likely ("full jitter" in Marc Brooker, Exponential
    /// Backoff and Jitter, AWS Architecture Blog, 2015).
    pub fn pause(&mut self) -> Duration {
        let bound = self.next.min(self.longest);
        self.next = bound.saturating_mul(2);
        bound.mul_f64(fastrand::f64())
    }

    /// Waits for the next pause.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_lie_below_bounds_that_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_millis(50), Duration::from_secs(1));
        let mut greatest = [Duration::ZERO; 7];
        for _ in 0..1000 {
            let mut backoff = Backoff::new(first, longest);
            for greatest in &mut greatest {
                *greatest = backoff.pause().max(*greatest);
            }
        }
        for (greatest, bound) in greatest.into_iter().zip([50, 100, 200, 400, 800, 1000, 1000]) {
            let bound = Duration::from_millis(bound);
            // of a thousand, one comes near the bound
            assert!(
                greatest <= bound && greatest > bound.mul_f64(0.9),
                "{greatest:?} {bound:?}"
            );
        }
    }
}
