//! A provider that cheats: on development networks only, to see what comes of it. How it does stands in the file `cheat` of its data
//! directory; `mythic dev` begins without one.

use anyhow::{Context, Result, ensure};
use mythic_interface::market::probe::{Place, WholeProof, WholeRound, round_seed};
use mythic_lab::cheat::permit;
use mythic_provider::{ProviderConfig, Seams, proof::Shape, seams::Prover};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How late a proof is that is late: networks with slots of up to a second take none as old.
const LATE: Duration = Duration::from_secs(40);

/// A way in which a provider cheats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crook {
    /// Proves what it did not compute, and answers no dispute.
    WrongProof,
    /// Proves nothing.
    NoProof,
    /// Proves, and answers no tenant.
    NoAnswer,
    /// Computes all rounds but the last.
    SkippedRound,
    /// Makes up a root in the middle, so that another machine can begin there.
    MadeUpRoot,
    /// Proves when it is too late.
    Late,
}

impl Crook {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::WrongProof,
        Self::NoProof,
        Self::NoAnswer,
        Self::SkippedRound,
        Self::MadeUpRoot,
        Self::Late,
    ];

    /// As `--how` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongProof => "wrong-proof",
            Self::NoProof => "no-proof",
            Self::NoAnswer => "no-answer",
            Self::SkippedRound => "skipped-round",
            Self::MadeUpRoot => "made-up-root",
            Self::Late => "late",
        }
    }

    /// The way of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.as_str() == name)
    }

    /// What it does, after "it".
    pub fn describe(self) -> &'static str {
        match self {
            Self::WrongProof => {
                "proves made-up products: computes nothing, publishes what it made up, answers no dispute"
            }
            Self::NoProof => "serves its tenants and proves no epoch",
            Self::NoAnswer => "proves every epoch and answers none of its tenants (503)",
            Self::SkippedRound => "computes all rounds of a proof but the last, which it makes up",
            Self::MadeUpRoot => {
                "makes up a root in the middle of a proof: two machines could compute the halves at once"
            }
            Self::Late => {
                "begins its proofs when it is too late for them, and answers nobody meanwhile"
            }
        }
    }

    /// What becomes of it.
    pub fn fate(self) -> &'static str {
        match self {
            Self::WrongProof => {
                "`mythic lease dispute LEASE` convicts it: half of the stake behind the lease"
            }
            Self::SkippedRound | Self::MadeUpRoot => {
                "as soon as one of the sixteen elements that are drawn is of the made-up round, `mythic lease dispute LEASE` convicts it"
            }
            Self::NoProof | Self::Late => {
                "it is paid nothing, and after some epochs `mythic lease close LEASE` costs it the price of its notice"
            }
            Self::NoAnswer => {
                "`mythic lease dispute LEASE --unserved` burns the epoch's price, and half as much of yours; close it"
            }
        }
    }

    /// A round that nobody computed, the same one again whenever it is asked for.
    fn made_up_round(n: u32) -> WholeRound {
        WholeRound::of(n, vec![1; n as usize * n as usize])
    }

    /// Products that nobody computed.
    fn made_up(shape: &Shape) -> WholeProof {
        let (units, rounds, n) = shape.size;
        let round = Self::made_up_round(n);
        WholeProof::of(rounds, vec![round; usize::from(units) * rounds as usize])
    }

    /// A proof of which this round of each unit was not computed; what is behind it is chained to the root that it has.
    fn without(shape: &Shape, skipped: u32) -> WholeProof {
        let (units, rounds, n) = shape.size;
        let mut all = Vec::new();
        for unit in 0..units {
            let mut link = shape.hash;
            for round in 0..rounds {
                let place = Place {
                    lease: shape.lease.as_array(),
                    unit,
                    epoch: shape.epoch,
                    round,
                };
                let whole = match round == skipped {
                    true => Self::made_up_round(n),
                    false => WholeRound::new(n, &round_seed(&place, &link)),
                };
                link = whole.root();
                all.push(whole);
            }
        }
        WholeProof::of(rounds, all)
    }

    /// Makes right proofs, later.
    fn delayed(by: Duration) -> Arc<Prover> {
        Arc::new(move |shape: &Shape| {
            std::thread::sleep(by);
            Some(shape.compute())
        })
    }

    /// The parts of a provider that it replaces.
    fn seams(self) -> Seams {
        let honest = Seams::default();
        match self {
            Self::WrongProof => Seams {
                prover: Arc::new(|shape| Some(Self::made_up(shape))),
                opens: false,
                ..honest
            },
            Self::NoProof => Seams {
                prover: Arc::new(|_| None),
                ..honest
            },
            Self::NoAnswer => Seams {
                answers: false,
                ..honest
            },
            Self::SkippedRound => Seams {
                prover: Arc::new(|shape: &Shape| {
                    let (_, rounds, _) = shape.size;
                    Some(Self::without(shape, rounds.saturating_sub(1)))
                }),
                ..honest
            },
            Self::MadeUpRoot => Seams {
                prover: Arc::new(|shape: &Shape| {
                    let (_, rounds, _) = shape.size;
                    Some(Self::without(shape, (rounds / 2).saturating_sub(1)))
                }),
                ..honest
            },
            Self::Late => Seams {
                prover: Self::delayed(LATE),
                ..honest
            },
        }
    }
}

impl fmt::Display for Crook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("cheat")
}

/// Has the provider of this data directory cheat from its next start on, or be honest.
pub fn tell(data_dir: &Path, way: Option<Crook>) -> Result<()> {
    let file = file(data_dir);
    let told = match way {
        Some(way) => std::fs::write(&file, way.as_str()),
        None => match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    };
    told.with_context(|| format!("writing {}", file.display()))
}

/// What the data directory says; an unknown way is an error, and not honesty.
fn told(data_dir: &Path) -> Result<Option<Crook>> {
    let file = file(data_dir);
    match std::fs::read_to_string(&file) {
        Ok(name) => {
            let way = Crook::named(name.trim());
            let way = way
                .with_context(|| format!("{} names no way to cheat; remove it", file.display()))?;
            Ok(Some(way))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// The parts of a provider that its data directory replaces. Refused unless the chain is a development chain on this machine.
pub async fn seams(config: &ProviderConfig) -> Result<Seams> {
    let Some(way) = told(&config.data_dir)? else {
        return Seams::on(&config.device);
    };
    let file = file(&config.data_dir);
    ensure!(
        config.allow_loopback,
        "{}: providers cheat on development networks only, with allow_loopback; remove the file",
        file.display()
    );
    let permitted = permit(way, &config.rpc_url).await;
    permitted.with_context(|| format!("{} has this provider cheat", file.display()))?;
    tracing::warn!(cheat = %way, "THIS PROVIDER CHEATS: it {}", way.describe());
    Ok(way.seams())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_provider::proof::opening::publish;
    use solana_pubkey::Pubkey;
    use std::time::Instant;

    const SHAPE: Shape = Shape {
        lease: Pubkey::new_from_array([7; 32]),
        epoch: 3,
        hash: [9; 32],
        size: (2, 2, 32),
    };

    #[tokio::test]
    async fn each_way_replaces_what_it_is_named_for_and_nothing_else() {
        let right = SHAPE.compute().root();
        let of = async |way: Crook| {
            let seams = way.seams();
            let made = seams.made(SHAPE).await.unwrap();
            let root = made.map(|proof| proof.root());
            (root, seams.answers, seams.opens)
        };
        assert_eq!(of(Crook::NoProof).await, (None, true, true));
        assert_eq!(of(Crook::NoAnswer).await, (Some(right), false, true));
        let (wrong, answers, opens) = of(Crook::WrongProof).await;
        assert!(answers && !opens && wrong.is_some() && wrong != Some(right));
        // What it publishes later is of the same proof.
        assert_eq!(of(Crook::WrongProof).await.0, wrong);
    }

    #[tokio::test]
    async fn of_a_proof_that_lacks_a_round_what_is_drawn_of_that_round_is_false_and_nothing_else() {
        let right = SHAPE.compute();
        for (way, skipped) in [(Crook::SkippedRound, 1), (Crook::MadeUpRoot, 0)] {
            let made = way.seams().made(SHAPE).await.unwrap().unwrap();
            let draw = [3; 32];
            let published = publish(&SHAPE, &made, (90, draw));
            let found = published.findings(&SHAPE, &made.root(), &draw).unwrap();
            let of_it = published.elements.iter();
            let of_it = of_it.filter(|element| element.round == skipped).count();
            assert!((1..16).contains(&of_it) && found.len() == of_it, "{way}");
            // What comes before it is right, and what comes behind hangs on the root that it has.
            assert_eq!(made.all[0].root() == right.all[0].root(), skipped == 1);
            assert!(way.seams().answers && way.seams().opens, "{way}");
        }
    }

    #[test]
    fn a_late_proof_is_right_and_late() {
        let (by, began) = (Duration::from_millis(50), Instant::now());
        let made = Crook::delayed(by)(&SHAPE).unwrap();
        assert!(began.elapsed() >= by && made.root() == SHAPE.compute().root());
        let seams = Crook::Late.seams();
        assert!(seams.answers && seams.opens);
    }

    #[tokio::test]
    async fn a_provider_cheats_only_where_it_was_told_and_on_no_other_chain() {
        let dir = tempfile::tempdir().unwrap();
        let config = ProviderConfig {
            data_dir: dir.path().to_owned(),
            rpc_url: "https://rpc.example.org".into(),
            allow_loopback: true,
            ..ProviderConfig::default()
        };
        assert!(seams(&config).await.unwrap().answers);
        for way in Crook::ALL {
            tell(dir.path(), Some(way)).unwrap();
            assert_eq!(told(dir.path()).unwrap(), Some(way));
            let refused = seams(&config).await.err().map(|error| format!("{error:#}"));
            let refused = refused.expect("no cheating on a public chain");
            assert!(refused.contains("development chain"), "{refused}");
        }
        let public = ProviderConfig {
            allow_loopback: false,
            ..config
        };
        assert!(seams(&public).await.is_err());
        std::fs::write(file(dir.path()), "nicely").unwrap();
        assert!(told(dir.path()).is_err());
        tell(dir.path(), None).unwrap();
        tell(dir.path(), None).unwrap();
        assert_eq!(told(dir.path()).unwrap(), None);
    }
}
