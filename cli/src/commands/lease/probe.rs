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
/// published proof, drawn by the chain, are right. Exit code 6 if something is wrong; what to do then is said with it
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
        tell(published, &mut report);
        report.print(self.json)?;
        match slow {
            Some(Slow { speed, floor }) => Err(Exit::error(
                exit::CHECK_FAILED,
                format!(
                    "it answers with {speed:.1} tokens a second and promised {floor}; if that stays so, `mythic lease close {address}`: what is not used comes back"
                ),
            )),
            None => Ok(()),
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
fn tell(Published { proof, missing }: Published, report: &mut Report) {
    match proof {
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
}

/// Checks what is published of the newest proof that is.
pub async fn proof(
    chain: &ChainClient,
    host: &Host,
    (address, lease): (&Pubkey, &Lease),
) -> Result<Published> {
    let (drawer, mut missing) = (Drawer::read(chain).await?, Vec::new());
    for entry in words::epochs(lease).into_iter().rev() {
        let epoch = entry.epoch.get();
        if entry.proof == NO_KEY {
            continue;
        }
        let draw = drawer.hash(entry);
        let judged = proofs::ask(host, (address, lease), entry, (&drawer, draw)).await?;
        match judged {
            Judged::Early => {}
            Judged::Missing => missing.push(epoch),
            Judged::Right { drawn } => {
                let proof = Proof::Right { epoch, drawn };
                return Ok(Published { proof, missing });
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
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_says_is_read_by_its_names() {
        let said = "cores=2\nmemory=\npids=32\r\nnonsense\n";
        assert_eq!(value(said, "cores").as_deref(), Some("2"));
        assert_eq!(value(said, "pids").as_deref(), Some("32"));
        assert_eq!(value(said, "memory"), None);
        assert_eq!(value(said, "disk_kib"), None);
    }
}
