//! Mixes of what can happen, from a quiet network to a wild one.

use serde::Deserialize;

/// Chances in percent, unless said otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix {
    pub spoiled: usize,
    pub forks: usize,
    /// Restarts of the producer in one story, at most.
    pub restarts: usize,
    /// A restart skips blocks that nobody saw.
    pub newer_snapshot: usize,
    /// The plugin is loaded again in the middle of a slot, without start-up accounts.
    pub reload: usize,
    /// Blocks are replayed at boot without a bank.
    pub boot: usize,
    pub broken_base: usize,
    pub wrong_filter: usize,
    /// A write, a seal, a creation of a bank, a status is lost; of a thousand.
    pub lost: usize,
    /// After a restart the confirmed blocks of before are on no chain.
    pub abandoned: usize,
    /// Blocks of dead forks are seen again after a restart.
    pub met_again: usize,
    /// The indexer is disturbed so many times, at most.
    pub troubles: usize,
    /// The disk flips bits of an entry; of a thousand.
    pub flips: usize,
    /// A second producer sees the same chain.
    pub second: bool,
    /// The second producer tells something else of a block.
    pub lies: usize,
    /// The server itself is restarted so many times, at most.
    pub server_restarts: usize,
    /// There are disputes and posted output, and more start-up accounts than fit in memory.
    pub disputes: bool,
    /// There are providers, requests, leases and disputes about them.
    pub market: bool,
    /// Blocks that end up on no chain leave unreadable content behind.
    pub spoiled_forks: usize,
    /// Of restarts after a crash: half a frame, or rubbish that nobody cuts.
    pub torn: usize,
    /// The disk flips bits of an entry's length; of a thousand.
    pub lengths: usize,
    /// Segments are small.
    pub small_segments: bool,
    /// A commit's answer is lost, or positions go back, so many times at most.
    pub repeats: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Forks, dead and reset slots, statuses late, early, missing; nothing is lost.
    Clean,
    /// Clean, with unreadable content and writes that change nothing.
    Hostile,
    /// Hostile, and the producer restarts from older snapshots.
    Restart,
    /// Restart, and the indexer dies, loses its server, is followed by another.
    Storm,
    /// Restart, with slots that nobody saw.
    Gaps,
    /// Gaps, with lost updates, seals and creations.
    Lossy,
    /// Everything, with confirmed blocks that are abandoned.
    Wild,
    /// Lossy, and the disk under the spool flips bits.
    Damage,
    /// Two producers: each dies, lags, restarts, loses what the other has, or lies.
    Pair,
    /// Storm, and the server dies and comes back. Played on a server of its own.
    Crash,
    /// Storm, with disputes and posted output, unreadable content on forks, and start-up accounts that don't fit in memory.
    Dispute,
    /// Damage, with small segments, frames that are torn in the middle of a spool, and damaged lengths.
    Torn,
    /// Gaps, and batches are offered again: commits whose answer is lost, positions that go back.
    Repeat,
    /// All of it, but for a second producer and the server's crashes.
    Chaos,
    /// Storm, with leases, and unreadable content on forks.
    Lease,
    /// Lossy, with leases.
    Market,
    /// Another simulation: a provider of the Compute Market is killed, the chain forks, nodes are silent, stale or empty.
    Provider,
}

impl Profile {
    /// The networks that are indexed.
    pub const ALL: [Self; 16] = [
        Self::Clean,
        Self::Hostile,
        Self::Restart,
        Self::Storm,
        Self::Gaps,
        Self::Lossy,
        Self::Wild,
        Self::Damage,
        Self::Pair,
        Self::Crash,
        Self::Dispute,
        Self::Torn,
        Self::Repeat,
        Self::Chaos,
        Self::Lease,
        Self::Market,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Hostile => "hostile",
            Self::Restart => "restart",
            Self::Storm => "storm",
            Self::Gaps => "gaps",
            Self::Lossy => "lossy",
            Self::Wild => "wild",
            Self::Damage => "damage",
            Self::Pair => "pair",
            Self::Crash => "crash",
            Self::Dispute => "dispute",
            Self::Torn => "torn",
            Self::Repeat => "repeat",
            Self::Chaos => "chaos",
            Self::Lease => "lease",
            Self::Market => "market",
            Self::Provider => "provider",
        }
    }

    /// What is counted of its seeds.
    pub fn counts(self) -> [&'static str; 3] {
        match self {
            Self::Provider => ["leases", "transactions", "more that were refused"],
            _ => ["blocks", "rows", "of them inexact, with a reason"],
        }
    }

    /// Nothing that the producer saw is missing from its log: every row must be known exactly.
    pub fn is_complete(self) -> bool {
        matches!(
            self,
            Self::Clean
                | Self::Hostile
                | Self::Restart
                | Self::Storm
                | Self::Crash
                | Self::Dispute
                | Self::Lease
        )
    }

    /// Its stories take down the server that others would share.
    pub fn is_alone(self) -> bool {
        self == Self::Crash
    }

    pub fn mix(self) -> Mix {
        let clean = Mix {
            forks: 35,
            ..Mix::default()
        };
        let hostile = Mix {
            spoiled: 6,
            ..clean
        };
        let restart = Mix {
            restarts: 2,
            ..hostile
        };
        let gaps = Mix {
            restarts: 3,
            newer_snapshot: 40,
            reload: 25,
            boot: 25,
            broken_base: 20,
            troubles: 1,
            ..restart
        };
        let lossy = Mix { lost: 12, ..gaps };
        let wild = Mix {
            abandoned: 30,
            met_again: 30,
            wrong_filter: 15,
            troubles: 2,
            ..lossy
        };
        match self {
            Self::Clean => clean,
            Self::Hostile => hostile,
            Self::Restart => restart,
            Self::Storm => Mix {
                troubles: 4,
                ..restart
            },
            Self::Gaps => gaps,
            Self::Lossy => lossy,
            Self::Damage => Mix { flips: 8, ..lossy },
            Self::Pair => Mix {
                lost: 8,
                troubles: 1,
                second: true,
                lies: 25,
                ..restart
            },
            Self::Crash => Mix {
                troubles: 2,
                server_restarts: 2,
                ..restart
            },
            Self::Wild => wild,
            Self::Dispute => Mix {
                troubles: 2,
                disputes: true,
                spoiled_forks: 20,
                ..restart
            },
            Self::Torn => Mix {
                flips: 4,
                lengths: 6,
                torn: 60,
                small_segments: true,
                ..lossy
            },
            Self::Repeat => Mix { repeats: 3, ..gaps },
            Self::Lease => Mix {
                troubles: 2,
                market: true,
                spoiled_forks: 20,
                ..restart
            },
            Self::Market => Mix {
                market: true,
                ..lossy
            },
            Self::Chaos => Mix {
                flips: 3,
                lengths: 3,
                torn: 40,
                small_segments: true,
                repeats: 1,
                disputes: true,
                spoiled_forks: 15,
                ..wild
            },
            // What goes wrong there is none of this.
            Self::Provider => Mix::default(),
        }
    }
}
