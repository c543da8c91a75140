//! How far the topic is, and where the relay goes back to when brokers lose what they acknowledged. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What was acknowledged this long ago is on the brokers' disks: sent again is what came after.
pub const RESEND: Duration = Duration::from_secs(60);
/// Between two marks.
const APART: Duration = Duration::from_secs(1);

/// All events up to one, acknowledged below these ends of the partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    pub seq: i64,
    /// For each partition the offset behind the newest message. What is not there is not known, and believed.
    pub ends: Vec<i64>,
}

impl Acknowledged {
    /// The brokers have all of it, where their partitions reach up to `has`.
    fn is_held_by(&self, has: &[i64]) -> bool {
        self.ends.len() <= has.len() && self.ends.iter().zip(has).all(|(ours, has)| has >= ours)
    }
}

/// What was found out when the brokers were asked how far they reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They have everything.
    All,
    /// They lost something, and what came after an event is sent again.
    LostAfter(i64),
    /// They lost more than that: everything that is kept is sent again.
    LostMore,
}

/// See the module's description.
#[derive(Debug)]
pub struct PassedOn {
    pub newest: Acknowledged,
    /// What was acknowledged, oldest first; the first is where the relay goes back to.
    marks: VecDeque<(Instant, Acknowledged)>,
}

impl PassedOn {
    /// As it was stored: from now on the older one is kept for its time.
    pub fn new(newest: Acknowledged, held: Acknowledged, now: Instant) -> Self {
        Self {
            newest,
            marks: [(now, held)].into(),
        }
    }

    /// Where the relay goes back to.
    pub fn oldest(&self) -> &Acknowledged {
        self.marks.front().map_or(&self.newest, |(_, mark)| mark)
    }

    /// The brokers reach up to `ends`; of what they hold only what lies below `sure` is certainly what they were given. `oldest` is
    /// the first event that is kept.
    pub fn find(&mut self, ends: Vec<i64>, sure: &[i64], oldest: i64, now: Instant) -> Verdict {
        let cut = |(n, end): (usize, &i64)| sure.get(n).map_or(*end, |sure| *sure.min(end));
        let has: Vec<i64> = ends.iter().enumerate().map(cut).collect();
        let found = match (self.newest.is_held_by(&has), self.oldest().is_held_by(&has)) {
            (true, _) => Verdict::All,
            (false, true) => Verdict::LostAfter(self.oldest().seq),
            (false, false) => Verdict::LostMore,
        };
        match found {
            Verdict::All => self.newest.ends = ends,
            Verdict::LostAfter(_) => {
                self.go_back();
                self.newest.ends = ends;
            }
            Verdict::LostMore => {
                let seq = oldest - 1;
                self.newest = Acknowledged { seq, ends };
                self.marks = [(now, self.newest.clone())].into();
            }
        }
        found
    }

    /// The brokers were seen to have lost something.
    pub fn go_back(&mut self) {
        self.newest = self.oldest().clone();
        self.marks.truncate(1);
    }

    /// More was acknowledged.
    pub fn advance(&mut self, newest: Acknowledged, now: Instant) {
        let is_due = |(at, _): &(Instant, Acknowledged)| now.duration_since(*at) >= APART;
        if self.marks.back().is_none_or(is_due) {
            self.marks.push_back((now, newest.clone()));
        }
        self.newest = newest;
        let is_old = |mark: Option<&(Instant, Acknowledged)>| {
            mark.is_some_and(|(at, _)| now.duration_since(*at) >= RESEND)
        };
        while is_old(self.marks.get(1)) {
            self.marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: i64, ends: &[i64]) -> Acknowledged {
        let ends = ends.to_vec();
        Acknowledged { seq, ends }
    }

    #[test]
    fn what_brokers_lost_is_sent_again_from_where_they_have_all() {
        let now = Instant::now();
        let held = || PassedOn::new(at(90, &[50, 40]), at(60, &[30, 30]), now);
        let mut all = held();
        assert_eq!(all.find(vec![50, 41], &[], 1, now), Verdict::All);
        assert_eq!(all.newest, at(90, &[50, 41]));

        let mut some = held();
        let found = some.find(vec![49, 40], &[], 1, now);
        assert_eq!(found, Verdict::LostAfter(60));
        assert_eq!(some.newest, at(60, &[49, 40]));
        assert_eq!(*some.oldest(), at(60, &[30, 30]));

        let mut more = held();
        assert_eq!(more.find(vec![50, 29], &[], 7, now), Verdict::LostMore);
        assert_eq!(
            (&more.newest, more.oldest()),
            (&at(6, &[50, 29]), &at(6, &[50, 29]))
        );

        // The log is as long again, with other messages.
        let mut regrown = held();
        let found = regrown.find(vec![70, 40], &[45, 40], 1, now);
        assert_eq!(found, Verdict::LostAfter(60));
        assert_eq!(regrown.newest, at(60, &[70, 40]));
    }

    #[test]
    fn more_partitions_are_no_loss_and_fewer_are() {
        let now = Instant::now();
        let mut held = PassedOn::new(at(9, &[5, 4]), at(6, &[3, 3]), now);
        assert_eq!(held.find(vec![5, 4, 0], &[], 1, now), Verdict::All);
        assert_eq!(held.newest, at(9, &[5, 4, 0]));
        assert_eq!(held.find(vec![9], &[], 1, now), Verdict::LostMore);
        // Of an index that did not know them yet.
        let mut old = PassedOn::new(at(9, &[]), at(9, &[]), now);
        assert_eq!(old.find(vec![3], &[], 1, now), Verdict::All);
    }

    #[test]
    fn where_it_goes_back_to_is_as_old_as_it_has_to_be() {
        let now = Instant::now();
        let mut held = PassedOn::new(at(0, &[0]), at(0, &[0]), now);
        for second in 1..=200 {
            let seq = second as i64;
            held.advance(at(seq, &[seq]), now + Duration::from_secs(second));
        }
        assert_eq!(*held.oldest(), at(140, &[140]));
        assert!(held.marks.len() < 70, "{}", held.marks.len());
    }
}
