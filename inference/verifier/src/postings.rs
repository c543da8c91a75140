//! Output and leaves as they are posted in a case. Pure.

use mythic_interface::{
    hash::Hash,
    ix::leaves_in_one_call,
    leaf::Leaf,
    merkle,
    output::{self, OUTPUT_CHUNK},
    state::{Case, Job, OUTPUT_PAGE_TOKENS},
};

use crate::check::leaf_fault;
use mythic_wire::evidence::Evidence;

/// Chunks on a page.
pub const PAGE_CHUNKS: u32 = (OUTPUT_PAGE_TOKENS / OUTPUT_CHUNK) as u32;

/// The tokens of a chunk of output and its path in the output tree.
pub fn chunk(evidence: &Evidence, chunk: u32) -> Option<(Vec<u32>, Vec<Hash>)> {
    let leaves: Vec<Hash> = (0u32..)
        .zip(evidence.output_ids.chunks(OUTPUT_CHUNK))
        .map(|(number, ids)| output::output_leaf(number, ids))
        .collect();
    let at = usize::try_from(chunk).ok()?;
    let proof = merkle::prove(&leaves, at)?;
    let ids = evidence.output_ids.chunks(OUTPUT_CHUNK).nth(at)?;
    Some((ids.to_vec(), proof.siblings().to_vec()))
}

/// Leaves and their paths, in groups that one instruction shows: few enough for a transaction, and of one page, since where
/// there are several pages only one leaf fits.
pub fn openings(evidence: &Evidence, positions: &[u32]) -> Vec<Vec<(Leaf, Vec<Hash>)>> {
    let hashes = evidence.leaf_hashes();
    let each = leaves_in_one_call(u32::try_from(hashes.len()).unwrap_or(u32::MAX));
    let mut positions = positions.to_vec();
    positions.sort_unstable();
    positions
        .chunks(each)
        .map(|some| {
            some.iter()
                .filter_map(|position| {
                    let leaf = evidence.leaf(*position)?;
                    let proof = merkle::prove(&hashes, usize::try_from(*position).ok()?)?;
                    Some((leaf, proof.siblings().to_vec()))
                })
                .collect()
        })
        .collect()
}

/// Positions whose leaves a case takes as they are, and those that break a rule, which only a proof shows.
pub fn apart(
    evidence: &Evidence,
    (job, case): (&Job, &Case),
    positions: &[u32],
) -> (Vec<u32>, Vec<u32>) {
    positions.iter().partition(|position| {
        let leaf = evidence.leaf(**position);
        leaf.is_none_or(|leaf| leaf_fault(job, case.eos(), &leaf).is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{EOS, case};
    use bytemuck::Zeroable;

    #[test]
    fn chunks_and_leaves_lead_to_what_is_on_chain() {
        let (job, _, evidence) = case(300);
        for number in 0..3 {
            let (ids, path) = chunk(&evidence, number).unwrap();
            assert_eq!(ids.len(), if number == 2 { 44 } else { 128 });
            let leaf = output::output_leaf(number, &ids);
            assert!(merkle::verify(&job.output_root, leaf, number, 3, &path));
        }
        assert_eq!(chunk(&evidence, 3), None);
    }

    #[test]
    fn a_call_shows_as_many_leaves_as_fit_and_those_of_one_page() {
        let shown = |tokens: u32, positions: &[u32]| -> Vec<Vec<u32>> {
            let (_, _, evidence) = case(tokens);
            openings(&evidence, positions)
                .iter()
                .map(|group| group.iter().map(|(leaf, _)| leaf.position).collect())
                .collect()
        };
        assert_eq!(shown(2_048, &[2_047, 1, 5]), [vec![1, 5], vec![2_047]]);
        assert_eq!(shown(2_060, &[2_050, 1, 2_047]), [[1], [2_047], [2_050]]);
    }

    #[test]
    fn what_breaks_a_rule_is_told_from_what_can_be_posted() {
        let (job, _, mut evidence) = case(40);
        evidence.leaves[7].swap(0, 1);
        evidence.leaves[9] = [(EOS, 900_000), (7, 3), (8, 2), (9, 1)];
        evidence.output_ids[9] = EOS;
        let mut case = Case::zeroed();
        let sound = vec![3, 9, 8];
        let found = apart(&evidence, (&job, &case), &[3, 7, 9, 8]);
        assert_eq!(found, (sound, vec![7]), "of this model it ends nothing");
        (case.eos_count, case.eos_ids[0]) = (1, EOS.into());
        let found = apart(&evidence, (&job, &case), &[3, 7, 9, 8]);
        assert_eq!(found, (vec![3, 8], vec![7, 9]));
    }
}
