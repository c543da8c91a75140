//! `mythic lease probe`: whether a lease is what it should be, as far as its tenant can see.

use super::{
    host::{Host, Reach, Reached},
    kept::Kept,
    proofs::{self, Drawer, Judged},
    read::{address, load, provider},
    ssh, words,
};
use crate::{
    context::Connection,
    exit::{self, Exit},
    report::Report,
};
use anyhow::Result;
use clap::Args;
use mythic_client::ChainClient;
use mythic_interface::{
    market::state::{Lease, LeaseStatus},
    state::NO_KEY,
};
use mythic_provider::{access::Access, spec::Document};
use solana_pubkey::Pubkey;

/// Check a lease: that what the provider gives you is what it stated on chain, that it answers under your key and signs a receipt, as fast
/// as it promised if it did (a container: that you get in, and what it says inside of its bounds), and that sixteen elements of its last
/// published proof, drawn by the chain, are right. Exit code 6 if something is wrong, 7 if the provider says
/// of no proof what it published; what to do then is said with it
#[derive(Args, Debug)]
pub struct Probe {
    /// Address of the lease
    lease: String,
    /// The lease's key [default: the one that `mythic lease request` kept here]
    #[arg(long)]
    key: Option<String>,
    /// Fill three quarters of the memory that a container has left, to see that it is there
    #[arg(long)]
    memory: bool,
    #[command(flatten)]
    reach: Reach,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is published of a lease's proofs.
pub struct Published {
    /// The newest that is.
    pub proof: Proof,
    /// Newer epochs that should be and are not, the newest first.
    pub missing: Vec<u64>,
    /// Newer epochs of which the provider does not say what it published, the newest first, and why each can't be read.
    pub unread: Vec<(u64, String)>,
}

/// Epochs that may fail to be read before it is left at that: each may take as long as an answer.
const MOST_UNREAD: usize = 3;

impl Published {
    /// The error where nothing can be said of any proof.
    fn unknown(&self) -> Option<anyhow::Error> {
        let (epoch, why) = self.unread.first()?;
        matches!(self.proof, Proof::None).then(|| {
            Exit::error(
                exit::CANNOT_SAY,
                format!(
                    "epoch {epoch}: what is published of its proof can't be read: {why}; try again, and `mythic lease close` if that goes on"
                ),
            )
        })
    }
}

/// What was found out about the last published proof.
pub enum Proof {
    /// Nothing is published yet.
    None,
    /// Its elements are right. Whether the draw could be compared with the chain: slots' hashes are known for some minutes.
    Right { epoch: u64, drawn: bool },
}

impl Probe {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let (chain, address) = (connection.chain(), address(&self.lease)?);
        let lease = load(&chain, &address).await?;
        let provider = provider(&chain, &lease).await?;
        let allow_loopback = self.reach.is_private(connection);
        let host = Host::of_lease(provider.endpoint.as_str(), allow_loopback).await?;
        let kept = Kept::read(connection, &address)?;
        let (own, document) = kept.map(|kept| (kept.key, kept.document)).unzip();
        let reached = match host.reached(&address, &lease).await {
            Ok(reached) => reached,
            Err(error) => return Err(reminded(&host, &lease, document.flatten(), error).await),
        };
        let mut report = Report::default();
        report
            .add("lease", address.to_string())
            .add(
                "standing",
                words::standing(&lease, mythic_wire::signed::unix_seconds()),
            )
            .say("access", "what was stated on chain", true);
        let slow = match reached {
            Reached::Container(_) => {
                self.inside(connection, &mut report).await?;
                None
            }
            Reached::Endpoint(access) => {
                let operator = Pubkey::new_from_array(provider.operator);
                let asked = (&address, &operator);
                self.answers((&host, &access), asked, own, &mut report)
                    .await?
            }
        };
        let published = proof(&chain, &host, (&address, &lease)).await?;
        let unknown = published.unknown();
        tell(published, &mut report);
        report.print(self.json)?;
        match slow {
            Some(Slow { speed, floor }) => Err(Exit::error(
                exit::CHECK_FAILED,
                format!(
                    "it answers with {speed:.1} tokens a second and promised {floor}; if that stays so, `mythic lease close {address}`: what is not used comes back"
                ),
            )),
            None => unknown.map_or(Ok(()), Err),
        }
    }

    /// Enters a container and asks there.
    async fn inside(&self, connection: &Connection, report: &mut Report) -> Result<()> {
        let handle = ssh::login(&self.lease, connection, self.reach).await?;
        let said = ssh::said(&handle, BOUNDS).await?;
        report.say("entered", "by the host key that was stated", true);
        for name in ["cores", "memory", "pids", "disk_kib"] {
            report.add(name, value(&said, name));
        }
        if self.memory {
            let said = ssh::said(&handle, FILL).await?;
            let (wanted, filled) = (value(&said, "wanted"), value(&said, "filled"));
            let Some(wanted) = wanted else {
                return Err(Exit::error(
                    exit::CHECK_FAILED,
                    "what memory is left inside can't be read there: enter it with `mythic lease ssh` and look",
                ));
            };
            if filled.as_ref() != Some(&wanted) {
                return Err(Exit::error(
                    exit::CHECK_FAILED,
                    format!(
                        "{wanted} bytes of memory should be left inside, and {} could be filled",
                        filled.as_deref().unwrap_or("none")
                    ),
                ));
            }
            report.add("memory_filled", filled);
        }
        Ok(())
    }

    /// Asks an endpoint, as its tenant does, and measures it where a floor is promised; says whether it is too slow.
    async fn answers(
        &self,
        (host, access): (&Host, &Access),
        (lease, operator): (&Pubkey, &Pubkey),
        own: Option<String>,
        report: &mut Report,
    ) -> Result<Option<Slow>> {
        let key = self.key.clone().or(own).ok_or_else(|| {
            Exit::error(
                exit::NOT_FOUND,
                "the key of this lease is not kept here: pass --key",
            )
        })?;
        let model = host.model(access, &key).await?;
        let about = (lease, operator);
        let said = host.chat(access, about, &key, "Name a fish.").await?;
        report.add("model", model).say(
            "answer",
            format!(
                "{:?}, {} tokens, receipt signed by the operator",
                said.text, said.tokens
            ),
            said.text.clone(),
        );
        let Some(floor) = access.min_tokens_per_second else {
            report.say("speed", "none is promised", None::<f64>);
            return Ok(None);
        };
        let speed = host.speed(access, about, &key, floor).await?;
        let told = match speed {
            Some(speed) => {
                format!("{speed:.1} tokens a second for one answer; at least {floor} are promised")
            }
            None => format!(
                "unknown: its answers are too short to tell; at least {floor} tokens a second are promised"
            ),
        };
        report.say("speed", told, speed);
        let slow = speed.filter(|speed| *speed < f64::from(floor));
        Ok(slow.map(|speed| Slow { speed, floor }))
    }
}

/// An endpoint that answers with fewer tokens a second than it promised.
struct Slow {
    speed: f64,
    floor: u32,
}

/// A provider that knows nothing of a lease has lost what was promised: the spec is left there again, if it is kept here.
async fn reminded(
    host: &Host,
    lease: &Lease,
    document: Option<String>,
    error: anyhow::Error,
) -> anyhow::Error {
    let is_lost =
        exit::code(&error) == exit::NOT_FOUND && lease.status() != Some(LeaseStatus::Ended);
    let document = document.and_then(|text| Document::read(text.as_bytes()).ok());
    let Some(document) = document.filter(|_| is_lost) else {
        return error;
    };
    match host.leave(&document).await {
        Ok(_) => Exit::error(
            exit::NOT_FOUND,
            "the provider knows nothing of this lease; what you want was left there again, so that it may serve it in a minute: try again then, or close it",
        ),
        Err(_) => error,
    }
}

/// What a container's own shell says of its bounds: it counts where it can be asked, and is not compared.
const BOUNDS: &str = "\
echo cores=$(nproc 2>/dev/null || grep -c ^processor /proc/cpuinfo)
echo memory=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null)
echo pids=$(cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max 2>/dev/null)
echo disk_kib=$(df -Pk /volume 2>/dev/null | tail -n 1 | awk '{print $2}')";

/// Writes to memory what is left of it, but for a quarter: `tail` keeps in memory what it was told to.
const FILL: &str = r#"limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes)
used=$(cat /sys/fs/cgroup/memory.current 2>/dev/null || cat /sys/fs/cgroup/memory/memory.usage_in_bytes)
case "$limit$used" in *[!0-9]*|"") exit 0 ;; esac
wanted=$(( (limit - used) / 4 * 3 ))
[ "$wanted" -gt 0 ] || exit 0
echo wanted=$wanted
echo filled=$(head -c $wanted /dev/zero | tail -c $wanted | wc -c)"#;

/// The value of a line `name=value`.
fn value(said: &str, name: &str) -> Option<String> {
    said.lines().find_map(|line| {
        let (found, value) = line.trim().split_once('=')?;
        (found == name && !value.is_empty()).then(|| value.to_owned())
    })
}

/// Says what is published of proofs.
fn tell(published: Published, report: &mut Report) {
    let Published {
        proof,
        missing,
        unread,
    } = published;
    match proof {
        Proof::None if !unread.is_empty() => report.say("proof", "unknown", None::<u64>),
        Proof::None => report.say("proof", "none is published yet", None::<u64>),
        Proof::Right { epoch, drawn } => report.say(
            "proof",
            format!(
                "epoch {epoch}: sixteen elements are right{}",
                if drawn {
                    ", and the chain drew them"
                } else {
                    "; who drew them is too long ago to check"
                }
            ),
            epoch,
        ),
    };
    if !missing.is_empty() {
        let epochs: Vec<String> = missing.iter().map(u64::to_string).collect();
        let told = format!(
            "epochs {}: nothing is published of their proofs, so nobody can check them. If that goes on, close the lease: \
                 a dispute costs you as much as an epoch pays the provider, and would show a true proof at your cost",
            epochs.join(", ")
        );
        report.say("unpublished", told, missing);
    }
    if !unread.is_empty() {
        let said = |(epoch, why): &(u64, String)| format!("epoch {epoch}: {why}");
        let told: Vec<String> = unread.iter().map(said).collect();
        let epochs: Vec<u64> = unread.iter().map(|(epoch, _)| *epoch).collect();
        report.say("unread", told.join("; "), epochs);
    }
}

/// Checks what is published of the newest proof that is.
pub async fn proof(
    chain: &ChainClient,
    host: &Host,
    (address, lease): (&Pubkey, &Lease),
) -> Result<Published> {
    let drawer = Drawer::read(chain).await?;
    newest(host, (address, lease), &drawer).await
}

/// The same, as drawn by these hashes.
async fn newest(
    host: &Host,
    (address, lease): (&Pubkey, &Lease),
    drawer: &Drawer,
) -> Result<Published> {
    let (mut missing, mut unread) = (Vec::new(), Vec::new());
    for entry in words::epochs(lease).into_iter().rev() {
        let epoch = entry.epoch.get();
        if entry.proof == NO_KEY {
            continue;
        }
        let draw = drawer.hash(entry);
        let asked = proofs::ask(host, (address, lease), entry, (drawer, draw)).await;
        let judged = match asked {
            Ok(judged) => judged,
            Err(error) => {
                unread.push((epoch, format!("{error:#}")));
                if unread.len() == MOST_UNREAD {
                    break;
                }
                continue;
            }
        };
        match judged {
            Judged::Early => {}
            Judged::Missing => missing.push(epoch),
            Judged::Right { drawn } => {
                let proof = Proof::Right { epoch, drawn };
                return Ok(Published {
                    proof,
                    missing,
                    unread,
                });
            }
            Judged::Unshown(_) | Judged::False(_) => {
                let next = match judged {
                    Judged::False(_) => "dispute",
                    _ => "close",
                };
                return Err(Exit::error(
                    exit::CHECK_FAILED,
                    format!(
                        "epoch {epoch}: {}; `mythic lease {next} {address}`",
                        judged.words()
                    ),
                ));
            }
        }
    }
    Ok(Published {
        proof: Proof::None,
        missing,
        unread,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_client::slot_hashes::SlotHashes;
    use mythic_interface::market::state::EpochState;
    use mythic_provider::proof::{Shape, opening::publish};
    use std::collections::HashMap;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    /// A provider that has these answers for epochs' proofs, and a failure for all others.
    async fn provider_of(answers: HashMap<u64, String>) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut head, mut byte) = (Vec::<u8>::new(), [0_u8]);
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let epoch = path.rsplit('/').next().and_then(|end| end.parse().ok());
                let (status, body) = match epoch.and_then(|epoch: u64| answers.get(&epoch)) {
                    Some(body) => ("200 OK", body.as_str()),
                    None => ("500 Internal Server Error", "{}"),
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Host::of_lease(&endpoint, true).await.unwrap()
    }

    /// A lease with a proof of each of these epochs, which its provider computed.
    fn proved(address: Pubkey, epochs: &[u64]) -> (Lease, HashMap<u64, String>) {
        let (mut lease, mut answers) = (Lease::zeroed(), HashMap::new());
        lease.terms.units = 1;
        lease.terms.probe.n.set(32);
        lease.terms.probe.rounds.set(2);
        for epoch in epochs {
            let shape = Shape {
                lease: address,
                epoch: *epoch,
                hash: [9; 32],
                size: (1, 2, 32),
            };
            let proof = shape.compute();
            let opening = publish(&shape, &proof, (100 * epoch + 8, [3; 32]));
            answers.insert(*epoch, serde_json::to_string(&opening).unwrap());
            let entry = &mut lease.ring[Lease::place(*epoch)];
            entry.epoch.set(*epoch);
            entry.slot.set(100 * epoch);
            entry.hash = shape.hash;
            entry.proof = proof.root();
            entry.state = EpochState::Pending as u8;
        }
        (lease, answers)
    }

    #[tokio::test]
    async fn a_proof_that_can_t_be_read_is_told_and_the_one_before_it_is_checked() {
        let address = Pubkey::new_from_array([7; 32]);
        let drawer = Drawer::at(1_000, SlotHashes::default());
        let (lease, mut answers) = proved(address, &[5, 6]);
        answers.remove(&6);
        let host = provider_of(answers).await;
        let published = newest(&host, (&address, &lease), &drawer).await.unwrap();
        assert!(matches!(published.proof, Proof::Right { epoch: 5, .. }));
        assert!(published.unknown().is_none() && published.missing.is_empty());
        let mut report = Report::default();
        tell(published, &mut report);
        let told = report.into_json();
        assert_eq!(told["proof"], 5);
        assert_eq!(told["unread"][0], 6);

        // Where none can be read, nothing is known; and nobody is waited for again and again.
        let (lease, _) = proved(address, &[3, 4, 5, 6]);
        let host = provider_of(HashMap::new()).await;
        let published = newest(&host, (&address, &lease), &drawer).await.unwrap();
        assert_eq!(published.unread.len(), MOST_UNREAD);
        let unknown = published.unknown().unwrap();
        assert_eq!(exit::code(&unknown), exit::CANNOT_SAY);
        assert!(unknown.to_string().contains("answers 500"), "{unknown}");
    }

    #[test]
    fn what_a_container_says_is_read_by_its_names() {
        let said = "cores=2\nmemory=\npids=32\r\nnonsense\n";
        assert_eq!(value(said, "cores").as_deref(), Some("2"));
        assert_eq!(value(said, "pids").as_deref(), Some("32"));
        assert_eq!(value(said, "memory"), None);
        assert_eq!(value(said, "disk_kib"), None);
    }
}
