//! Which validator gets a request. Pure: `Router::pick` sees a request and a picture of the fleet.

/// What routing needs to know of a request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Identity of the model.
    pub model: [u8; 32],
    /// Prompt and most output together, in tokens.
    pub tokens: u32,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Most lamports that it can cost.
    pub ceiling: u64,
    /// Hash of the beginning of the prompt, for prefix affinity.
    pub prefix: u64,
    /// Validators that this request has already failed on.
    pub tried: &'a [[u8; 32]],
}

/// A validator as the router sees it.
#[derive(Debug, Clone)]
pub struct Node {
    pub validator: [u8; 32],
    /// Its hot key: signs acceptance.
    pub operator: [u8; 32],
    /// Base URL, without a slash at the end.
    pub endpoint: String,
    /// Models it serves.
    pub models: Vec<[u8; 32]>,
    /// Most tokens that fit, prompt and output; 0 = unknown.
    pub context: u32,
    /// Registered, not jailed, not stopped accepting.
    pub eligible: bool,
    /// Jobs it may still take by its stake, after those this gateway has under way.
    pub headroom: u64,
    /// Largest ceiling of another job that its stake backs, lamports.
    pub largest_ceiling: u64,
    /// Tokens waiting there, by its own word and by what this gateway has under way.
    pub queued_tokens: u64,
    /// Jobs that this gateway has under way there.
    pub running: u64,
    /// Jobs that it works on at once.
    pub concurrent: u64,
    /// Jobs that it is given at most: those it works on and a few that wait there.
    pub places: u64,
    /// It said lately that it has no place.
    pub full: bool,
    /// Tokens a second of real jobs, thousandths, as this gateway measured them; 0 = not measured.
    pub measured_milli: u64,
    /// Tokens a second that it claims, thousandths; 0 = claims nothing. Only ever a bound.
    pub claimed_milli: u64,
    /// Number of the last dispatch to it; the smaller, the longer ago.
    pub last: u64,
    /// Share of good outcomes lately, in thousandths.
    pub success_milli: u32,
    /// The breaker lets requests through.
    pub breaker_allows: bool,
    /// It served a prompt with this beginning lately.
    pub warm_prefixes: Vec<u64>,
    /// It announced itself to this gateway lately.
    pub announced: bool,
}

/// All known validators.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// In any order; ties go to the lower authority.
    pub nodes: Vec<Node>,
}

/// Why nobody was picked: the first filter that left nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// No registered validator serves the model.
    #[error("no validator serves this model now")]
    Model,
    /// Those that serve it can't hold prompt and output.
    #[error("no validator that serves this model has a context for prompt and output together")]
    Context,
    /// Those that could are down, or failed lately.
    #[error("every validator of this model is unreachable or failed lately")]
    Unhealthy,
    /// Those that are up have no stake free for another job.
    #[error("every validator of this model is at the limit of its stake")]
    Full,
    /// Those that could take it work on other jobs.
    #[error("every validator of this model is busy")]
    Busy,
    /// Every one left has been asked for this request.
    #[error("every validator of this model declined or failed on this request")]
    Tried,
}

/// The picking rule.
#[derive(Debug, Clone, Copy)]
pub struct Router;

/// Speed assumed while no validator has been measured, thousandths of a token a second.
const UNMEASURED: u64 = 10_000;
/// A prompt shorter than this, in tokens, is no reason to prefer a validator that knows its beginning.
pub const WARM_TOKENS: u32 = 512;

/// Why a node is left out, and which stay.
type Filter<'a> = (NoChoice, &'a dyn Fn(&Node) -> bool);

impl Router {
    /// Index of the validator that gets the request, or why there is none. Load counts first: one that has a place free goes
    /// before one where the request would wait. Among those the expected time counts, and whoever needs at most twice the best
    /// one's time is its equal: equals share, the one that was given a job longest ago goes first.
    pub fn pick(request: &Request<'_>, fleet: &Fleet) -> Result<usize, NoChoice> {
        let mut left: Vec<usize> = (0..fleet.nodes.len()).collect();
        let filters: [Filter<'_>; 6] = [
            (NoChoice::Model, &|node| {
                node.eligible && node.models.contains(&request.model)
            }),
            (NoChoice::Context, &|node| {
                node.context == 0 || node.context >= request.tokens
            }),
            (NoChoice::Tried, &|node| {
                !request.tried.contains(&node.validator)
            }),
            (NoChoice::Unhealthy, &|node| {
                node.breaker_allows && !node.endpoint.is_empty()
            }),
            (NoChoice::Full, &|node| {
                node.headroom > 0 && node.largest_ceiling >= request.ceiling
            }),
            (NoChoice::Busy, &|node| {
                !node.full && node.running < node.places
            }),
        ];
        for (reason, keep) in filters {
            left.retain(|index| fleet.nodes.get(*index).is_some_and(keep));
            if left.is_empty() {
                return Err(reason);
            }
        }
        let nodes: Vec<(usize, &Node)> = left
            .into_iter()
            .filter_map(|index| Some((index, fleet.nodes.get(index)?)))
            .collect();
        let rounds = |node: &Node| node.running / node.concurrent.max(1);
        let fewest = nodes.iter().map(|(_, node)| rounds(node)).min();
        let fastest = nodes.iter().map(|(_, node)| node.measured_milli).max();
        let timed: Vec<(usize, &Node, u64)> = nodes
            .into_iter()
            .filter(|(_, node)| Some(rounds(node)) == fewest)
            .map(|(index, node)| {
                (
                    index,
                    node,
                    Self::expected(request, node, fastest.unwrap_or(0)),
                )
            })
            .collect();
        let best = timed.iter().map(|(_, _, time)| *time).min().unwrap_or(0);
        timed
            .into_iter()
            .filter(|(_, _, time)| *time <= best.saturating_mul(2))
            .min_by_key(|(_, node, _)| {
                let load = node.running.saturating_mul(1_000) / node.concurrent.max(1);
                let warm = request.prompt_tokens >= WARM_TOKENS
                    && node.warm_prefixes.contains(&request.prefix);
                (load, !warm, node.last, node.validator)
            })
            .map(|(index, _, _)| index)
            .ok_or(NoChoice::Model)
    }

    /// Expected milliseconds until the answer is whole, worsened by failures. Who was not measured is taken to be as fast as the
    /// fastest that was, `fastest`, so that real jobs come to measure it; nobody is taken to be faster than it claims.
    fn expected(request: &Request<'_>, node: &Node, fastest: u64) -> u64 {
        let measured = match (node.measured_milli, fastest) {
            (0, 0) => UNMEASURED,
            (0, fastest) => fastest,
            (measured, _) => measured,
        };
        let speed = match node.claimed_milli {
            0 => measured,
            claimed => measured.min(claimed),
        };
        let tokens = node.queued_tokens.saturating_add(u64::from(request.tokens));
        let wait = tokens.saturating_mul(1_000_000) / speed.max(1);
        wait.saturating_mul(1_000) / u64::from(node.success_milli.clamp(50, 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: [u8; 32] = [1; 32];

    fn node(id: u8) -> Node {
        Node {
            validator: [id; 32],
            operator: [id + 100; 32],
            endpoint: "http://n".into(),
            models: vec![MODEL],
            context: 2048,
            eligible: true,
            headroom: 5,
            largest_ceiling: 1_000,
            queued_tokens: 0,
            running: 0,
            concurrent: 1,
            places: 3,
            full: false,
            measured_milli: 20_000,
            claimed_milli: 0,
            last: 0,
            success_milli: 1_000,
            breaker_allows: true,
            warm_prefixes: vec![],
            announced: true,
        }
    }

    fn request(tried: &[[u8; 32]]) -> Request<'_> {
        Request {
            model: MODEL,
            tokens: 600,
            prompt_tokens: 600,
            ceiling: 1_000,
            prefix: 9,
            tried,
        }
    }

    fn pick(nodes: Vec<Node>) -> Result<usize, NoChoice> {
        Router::pick(&request(&[]), &Fleet { nodes })
    }

    #[test]
    fn each_filter_gives_its_reason() {
        assert_eq!(pick(vec![]), Err(NoChoice::Model));
        assert_eq!(
            pick(vec![Node {
                eligible: false,
                ..node(1)
            }]),
            Err(NoChoice::Model)
        );
        assert_eq!(
            pick(vec![Node {
                models: vec![[2; 32]],
                ..node(1)
            }]),
            Err(NoChoice::Model)
        );
        assert_eq!(
            pick(vec![Node {
                context: 512,
                ..node(1)
            }]),
            Err(NoChoice::Context)
        );
        assert_eq!(
            pick(vec![Node {
                breaker_allows: false,
                ..node(1)
            }]),
            Err(NoChoice::Unhealthy)
        );
        assert_eq!(
            pick(vec![Node {
                headroom: 0,
                ..node(1)
            }]),
            Err(NoChoice::Full)
        );
        assert_eq!(
            pick(vec![Node {
                largest_ceiling: 999,
                ..node(1)
            }]),
            Err(NoChoice::Full)
        );
        for busy in [
            Node {
                running: 3,
                ..node(1)
            },
            Node {
                full: true,
                ..node(1)
            },
        ] {
            assert_eq!(pick(vec![busy]), Err(NoChoice::Busy));
        }
        let tried = [[1; 32]];
        assert_eq!(
            Router::pick(
                &request(&tried),
                &Fleet {
                    nodes: vec![node(1)]
                }
            ),
            Err(NoChoice::Tried)
        );
    }

    #[test]
    fn a_free_validator_a_much_faster_one_and_a_better_record_win() {
        let busy = Node {
            running: 1,
            measured_milli: 200_000,
            ..node(1)
        };
        assert_eq!(pick(vec![busy, node(2)]), Ok(1), "load before speed");
        let fast = Node {
            measured_milli: 50_000,
            last: 9,
            ..node(2)
        };
        assert_eq!(pick(vec![node(1), fast]), Ok(1));
        let failing = Node {
            success_milli: 400,
            ..node(1)
        };
        assert_eq!(pick(vec![failing, Node { last: 9, ..node(2) }]), Ok(1));
    }

    #[test]
    fn equals_share_and_one_that_is_not_measured_yet_is_an_equal() {
        let mut nodes: Vec<Node> = (1..=5).map(node).collect();
        nodes[3].measured_milli = 0;
        nodes[4].measured_milli = 30_000;
        let mut jobs = [0; 5];
        for turn in 1..=40 {
            let at = pick(nodes.clone()).unwrap();
            jobs[at] += 1;
            nodes[at].last = turn;
        }
        assert_eq!(jobs, [8; 5]);
    }

    #[test]
    fn a_claim_of_speed_only_bounds() {
        let boast = Node {
            claimed_milli: u64::MAX,
            last: 1,
            ..node(1)
        };
        assert_eq!(pick(vec![boast, node(2)]), Ok(1));
        let modest = Node {
            claimed_milli: 1_000,
            ..node(1)
        };
        let other = Node { last: 9, ..node(2) };
        assert_eq!(pick(vec![modest, other]), Ok(1));
    }

    #[test]
    fn a_long_prompt_goes_where_its_beginning_is_known_among_equals() {
        let warm = Node {
            warm_prefixes: vec![9],
            last: 5,
            ..node(1)
        };
        assert_eq!(pick(vec![warm.clone(), node(2)]), Ok(0));
        let short = Request {
            prompt_tokens: 20,
            ..request(&[])
        };
        let fleet = Fleet {
            nodes: vec![warm, node(2)],
        };
        assert_eq!(Router::pick(&short, &fleet), Ok(1));
    }

    #[test]
    fn ties_go_to_the_lower_authority() {
        assert_eq!(pick(vec![node(2), node(1)]), Ok(1));
    }

    #[test]
    fn absurd_announcements_do_not_overflow() {
        assert_eq!(
            pick(vec![Node {
                queued_tokens: u64::MAX,
                measured_milli: 1,
                claimed_milli: 1,
                success_milli: 0,
                announced: false,
                ..node(1)
            }]),
            Ok(0)
        );
    }
}
