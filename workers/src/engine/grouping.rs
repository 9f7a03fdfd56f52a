//! Which items of a batch can share a run of the graph: those whose rows have one shape, and texts only as long as rows ×
//! longest row stays within `max_batch_tokens`. The batcher knows estimates; here the lengths are known.

use super::preprocess::Prepared;

/// An item and its place in the batch.
pub(super) type Placed = (usize, Prepared);

/// Splits a batch into runs, each at least one item.
pub(super) fn runs(mut items: Vec<Placed>, max_tokens: Option<u32>) -> Vec<Vec<Placed>> {
    let max_tokens = max_tokens.map_or(usize::MAX, |max| max as usize);
    items.sort_by_cached_key(|(_, item)| (shape(item), longest(item)));
    let mut runs: Vec<Vec<Placed>> = Vec::new();
    for placed in items {
        let joins = |run: &Vec<Placed>| {
            let rows: usize = run.iter().map(|(_, item)| item.rows()).sum();
            // in the order of their lengths, so this one is the longest
            let tokens = (rows + placed.1.rows()).saturating_mul(longest(&placed.1));
            shape(&run[0].1) == shape(&placed.1) && tokens <= max_tokens
        };
        match runs.last_mut() {
            Some(run) if joins(run) => run.push(placed),
            Some(_) | None => runs.push(vec![placed]),
        }
    }
    runs
}

/// The dimensions of each input after the rows; none where the preprocessing makes them the same for all.
fn shape(item: &Prepared) -> Vec<Vec<u64>> {
    item.tensors()
        .iter()
        .map(|tensor| tensor.shape()[1..].to_vec())
        .collect()
}

fn longest(item: &Prepared) -> usize {
    item.texts().iter().map(|text| text.tokens()).max().unwrap_or(0)
}
