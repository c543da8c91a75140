//! Answers with everything that a case asks for: leaves, output, paths, and what an honest checker
//! computes. The "model" is a hash: its four largest logits at a position follow from the job's seed, and so does the token that
//! the "options" of sampling profile 2 choose, which is none of the four.

use mythic_interface::choice::{Course, claims_stop, own_leaf};
use mythic_interface::dispute::{exact_digest, work_digest};
use mythic_interface::hash::{self, Hash, sha256};
use mythic_interface::ix::SubmitResult;
use mythic_interface::le::U32;
use mythic_interface::leaf::{Leaf, NO_TOKEN};
use mythic_interface::merkle;
use mythic_interface::output::{self, OUTPUT_CHUNK};
use mythic_interface::sampler::{Sampling, Top4, order};
use mythic_interface::state::{Case, FinishReason, Job, Key};

/// The end-of-sequence id of the tests' models.
pub const EOS: u32 = 2;
const ONE: i32 = 1 << 16;

/// How an answer departs from the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It does not.
    None,
    /// Another model's logits everywhere, by several units.
    OtherModel,
    /// Logits as another exact-looking implementation has them: off by two units of 2^-16.
    Noise,
    /// True logits, but of ids that are not the four largest.
    WrongIds,
    /// Another model's logits at one position.
    OneToken(u32),
    /// At one position an id stands twice.
    RepeatedId(u32),
    /// At one position the four are not in order.
    NotOrdered(u32),
    /// At one position the token is not the sampler's choice.
    NotTheChoice(u32),
    /// Another model's logits everywhere, and at one position such a token: a fault that its maker can prove at will.
    Planted(u32),
    /// Another model's logits at the first position alone, and at the second such a fault.
    PlantedBeside(u32, u32),
    /// At one position the leaf's token is not the output's.
    NotTheOutput(u32),
    /// An end-of-sequence id before the end.
    EosInside(u32),
    /// Finish reason `eos` without such an id at the end.
    NoEos,
    /// At one position the number by which jurors say that no token may stand there.
    NoToken(u32),
    /// By options: at one position a token that their grammar does not allow.
    Astray(u32),
    /// By options: at one position a stop string is whole, and the answer goes on.
    RunsOn(u32),
    /// By options: no stop string is whole at the end.
    Unstopped,
}

/// An answer and the truth about it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Output.
    pub tokens: Vec<u32>,
    /// What the fingerprint commits to.
    pub leaves: Vec<Leaf>,
    /// What the model computes.
    truth: Vec<Top4>,
    /// What must stand at each position, by the job's sampling profile.
    due: Vec<Option<u32>>,
    seed: Hash,
    hashes: Vec<Hash>,
    chunks: Vec<Hash>,
    /// The result that commits to it.
    pub result: SubmitResult,
}

/// The four largest logits of the "model" after the tokens of this job so far.
fn truth(seed: &Hash, position: u32, ends: bool) -> Top4 {
    let digest = sha256(&[b"model", seed, &position.to_le_bytes()]);
    let byte = |i: usize| i32::from(digest[i]);
    let first = 100 + u32::from(digest[0]);
    let mut top = [
        (first, 20 * ONE + byte(1) * 100),
        (first + 1_000, 19 * ONE + byte(2) * 100),
        (first + 2_000, 18 * ONE + byte(3) * 100),
        (first + 3_000, 17 * ONE + byte(4) * 100),
    ];
    if ends {
        // So much larger that no noise chooses another.
        top[0] = (EOS, 200 * ONE);
    }
    top
}

/// How the tokens of a job are chosen.
struct Chooser {
    seed: Hash,
    replay: Option<Sampling>,
}

impl Chooser {
    /// The token at a position where these are the four largest.
    fn choose(&self, position: u32, top4: &Top4) -> u32 {
        if let Some(sampling) = &self.replay {
            return sampling.choose(position, top4);
        }
        if top4[0].0 == EOS {
            return EOS;
        }
        let digest = sha256(&[b"options", &self.seed, &position.to_le_bytes()]);
        50_000 + u32::from(digest[0])
    }

    /// What a juror says must stand at a position of an answer with such a lie, where this is chosen.
    fn due(&self, position: u32, chosen: u32, lie: Lie, end: (u32, FinishReason)) -> Option<u32> {
        if self.replay.is_some() {
            return Some(chosen);
        }
        let course = Course {
            in_grammar: !matches!(lie, Lie::Astray(p) if p < position),
            is_over: matches!(lie, Lie::RunsOn(p) if p < position),
            stops_here: lie != Lie::Unstopped,
        };
        course.token(chosen, claims_stop(position, end.0, end.1 as u8))
    }

    /// The leaf that an answer with such a lie commits to, where the model computes `top4`.
    fn leaf(&self, position: u32, mut top4: Top4, lie: Lie) -> Leaf {
        let shift = |top4: &mut Top4, by: i32| {
            top4.iter_mut().for_each(|entry| entry.1 += by);
        };
        match lie {
            Lie::OtherModel | Lie::Planted(_) => shift(&mut top4, -7 * ONE),
            Lie::Noise => shift(&mut top4, 2),
            Lie::OneToken(p) | Lie::PlantedBeside(p, _) if p == position => {
                shift(&mut top4, 5 * ONE);
            }
            // The model's own values one place down, where the truth has the fourth.
            Lie::WrongIds => {
                for entry in &mut top4[1..] {
                    entry.0 += 7_000;
                    entry.1 -= 12 * ONE;
                }
            }
            Lie::RepeatedId(p) if p == position => top4[1].0 = top4[0].0,
            Lie::NotOrdered(p) if p == position => top4.swap(1, 2),
            _ => {}
        }
        let chosen = self.choose(position, &top4);
        let token = match lie {
            Lie::NotTheChoice(p) | Lie::Planted(p) | Lie::PlantedBeside(_, p) if p == position => {
                another(&top4, chosen)
            }
            Lie::NoToken(p) if p == position => NO_TOKEN,
            Lie::Astray(p) if p == position => 60_000,
            _ => chosen,
        };
        if !matches!(lie, Lie::NotOrdered(_)) {
            top4.sort_by(order);
        }
        Leaf {
            position,
            token,
            top4,
        }
    }

    /// Makes a leaf one that is right by itself, with another token than the output has.
    fn part(&self, leaf: &mut Leaf) {
        let output = leaf.token;
        let position = leaf.position;
        if self.replay.is_none() {
            leaf.token = another(&leaf.top4, output);
            return;
        }
        leaf.top4[0].1 += 300 * ONE;
        leaf.token = self.choose(position, &leaf.top4);
        if leaf.token == output {
            leaf.top4[0].1 = -300 * ONE;
            leaf.top4.sort_by(order);
            leaf.token = self.choose(position, &leaf.top4);
        }
        assert_ne!(leaf.token, output);
    }
}

/// One of four that is neither this token nor an end.
fn another(top4: &Top4, token: u32) -> u32 {
    let mut ids = top4.iter().map(|entry| entry.0);
    ids.find(|id| *id != token && *id != EOS).expect("four ids")
}

impl Answer {
    /// An answer of `count` tokens to a job.
    pub fn new(address: &Key, job: &Job, count: u32, finish: FinishReason, lie: Lie) -> Self {
        let chooser = Chooser {
            seed: job.terms.seed,
            replay: job.terms.replay(),
        };
        let last = count - 1;
        let truth: Vec<Top4> = (0..count)
            .map(|p| {
                let ends = (p == last && finish == FinishReason::Eos && lie != Lie::NoEos)
                    || lie == Lie::EosInside(p);
                truth(&chooser.seed, p, ends)
            })
            .collect();
        let due = (0u32..).zip(&truth).map(|(position, top4)| {
            let chosen = chooser.choose(position, top4);
            chooser.due(position, chosen, lie, (count, finish))
        });
        let due: Vec<Option<u32>> = due.collect();
        let leaves = (0u32..).zip(&truth);
        let leaves = leaves.map(|(position, top4)| chooser.leaf(position, *top4, lie));
        let mut leaves: Vec<Leaf> = leaves.collect();
        let tokens: Vec<u32> = leaves.iter().map(|leaf| leaf.token).collect();
        if let Lie::NotTheOutput(p) = lie {
            chooser.part(&mut leaves[p as usize]);
        }
        let hashes: Vec<Hash> = leaves
            .iter()
            .map(|leaf| leaf.hash(address, &job.validator))
            .collect();
        let chunks: Vec<Hash> = tokens
            .chunks(OUTPUT_CHUNK)
            .enumerate()
            .map(|(chunk, ids)| output::output_leaf(chunk as u32, ids))
            .collect();
        let output_root = merkle::root(&chunks).expect("not empty");
        let leaf_root = merkle::root(&hashes).expect("not empty");
        let fingerprint = hash::fingerprint(&leaf_root, count, &job.terms_hash, &output_root);
        Answer {
            tokens,
            leaves,
            truth,
            due,
            seed: chooser.seed,
            hashes,
            chunks,
            result: SubmitResult {
                terms_hash: job.terms_hash,
                output_root,
                fingerprint,
                output_tokens: U32::new(count),
                finish_reason: finish as u8,
            },
        }
    }

    /// Number of chunks.
    pub fn chunks(&self) -> u32 {
        self.chunks.len() as u32
    }

    /// What posts a chunk: ids and path.
    pub fn chunk(&self, chunk: u32) -> Vec<u8> {
        let ids = self.tokens.chunks(OUTPUT_CHUNK).nth(chunk as usize);
        let ids = ids.expect("a chunk").iter().flat_map(|id| id.to_le_bytes());
        let path = merkle::prove(&self.chunks, chunk as usize).expect("a chunk");
        ids.chain(path.siblings().concat()).collect()
    }

    /// The path of a leaf.
    pub fn path(&self, position: u32) -> Vec<u8> {
        let path = merkle::prove(&self.hashes, position as usize).expect("a leaf");
        path.siblings().concat()
    }

    /// What opens a leaf: content and path.
    pub fn opening(&self, position: u32) -> Vec<u8> {
        let content = self.leaves[position as usize].encode();
        [&content[..], &self.path(position)].concat()
    }

    /// What an honest checker computes at a position: its logits at the submitter's four ids, its own
    /// fourth-largest.
    pub fn values(&self, position: u32) -> [i32; 5] {
        let truth = &self.truth[position as usize];
        let at = |id: u32| {
            let found = truth.iter().find(|entry| entry.0 == id);
            // Beyond the four largest the "model" falls steeply and depends on the id.
            found.map_or(5 * ONE - (id % 4_096) as i32, |entry| entry.1)
        };
        let mine = self.leaves[position as usize].top4;
        [
            at(mine[0].0),
            at(mine[1].0),
            at(mine[2].0),
            at(mine[3].0),
            truth[3].1,
        ]
    }

    /// What an honest juror has at a position: the token that must stand there, its own four largest.
    pub fn own(&self, position: u32) -> Leaf {
        let mut top4 = self.truth[position as usize];
        top4.sort_by(order);
        own_leaf(position, top4, self.due[position as usize])
    }

    /// The fifth-largest logit at a position, which nothing shows.
    fn fifth(&self, position: u32) -> (u32, i32) {
        let digest = sha256(&[b"fifth", &self.seed, &position.to_le_bytes()]);
        (
            4_000 + u32::from(digest[0]),
            16 * ONE + i32::from(digest[1]),
        )
    }

    /// The digest of an honest juror's work.
    pub fn work(&self, case: &Case) -> Hash {
        let positions = case.checked_positions();
        let fifths: Vec<_> = positions.iter().map(|p| self.fifth(*p)).collect();
        work_digest(&fifths)
    }

    /// Digests of sample and groups, each leaf as `see` has it.
    fn digests(case: &Case, see: impl Fn(u32) -> Leaf) -> Vec<Hash> {
        let group = |leaves: &[mythic_interface::state::OpenedLeaf]| {
            let own: Vec<Leaf> = leaves.iter().map(|l| see(l.position.get())).collect();
            exact_digest(&own)
        };
        let mut digests = vec![group(case.sample())];
        digests.extend(case.groups().map(|claim| group(claim.group())));
        digests
    }

    /// The honest vote.
    pub fn vote(&self, case: &Case) -> Vec<u8> {
        if case.exact == 0 {
            return encode(sampled(case).map(|position| self.values(position)));
        }
        let digests = Self::digests(case, |position| self.own(position));
        [vec![self.work(case)], digests].concat().concat()
    }

    /// The vote of a juror that finds nothing wrong whatever there is, with the work of an honest one.
    pub fn approval(&self, case: &Case) -> Vec<u8> {
        if case.exact == 0 {
            return encode(sampled(case).map(|position| {
                let top4 = self.leaves[position as usize].top4;
                [top4[0].1, top4[1].1, top4[2].1, top4[3].1, top4[3].1]
            }));
        }
        let digests = Self::digests(case, |position| self.leaves[position as usize]);
        [vec![self.work(case)], digests].concat().concat()
    }
}

fn sampled(case: &Case) -> impl Iterator<Item = u32> {
    case.sample().iter().map(|leaf| leaf.position.get())
}

/// A vote that shows fraud everywhere whatever the answer is; guesses with another `salt` do not agree. In an exact profile with
/// the work of `answer`.
pub fn guess(answer: &Answer, case: &Case, salt: u32) -> Vec<u8> {
    let made_up = |position: u32| sha256(&[b"guess", &salt.to_le_bytes(), &position.to_le_bytes()]);
    if case.exact != 0 {
        let groups = 1 + case.groups().count() as u32;
        let digests: Vec<Hash> = (0..groups).map(made_up).collect();
        return [vec![answer.work(case)], digests].concat().concat();
    }
    encode(sampled(case).map(|position| {
        let digest = made_up(position);
        core::array::from_fn(|i| i32::from(digest[i]) * ONE - 300 * ONE)
    }))
}

fn encode(values: impl Iterator<Item = [i32; 5]>) -> Vec<u8> {
    values.flatten().flat_map(i32::to_le_bytes).collect()
}
