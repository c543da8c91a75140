//! Random cases.

use mythic_interface::sampler;
use serde_json::{Value, json};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Of any magnitude: small ones as likely as large ones.
    fn any(&mut self) -> u64 {
        self.next() >> self.below(64)
    }

    fn text(&mut self, len: usize) -> String {
        let bytes: Vec<u8> = (0..len).map(|_| self.next() as u8).collect();
        hex::encode(bytes)
    }

    pub fn key(&mut self) -> String {
        self.text(32)
    }

    fn logit(&mut self) -> i32 {
        (self.next() as i32) >> self.below(32)
    }

    fn ids(&mut self, most: u64) -> Vec<u32> {
        (0..self.below(most + 1))
            .map(|_| self.any() as u32)
            .collect()
    }

    fn four(&mut self) -> Vec<(u32, i32)> {
        // Few ids and few logits now and then, so that ties and repetitions occur.
        let (ids, logits) = if self.below(4) == 0 {
            (6, 3)
        } else {
            (1 << 18, 1 << 22)
        };
        let mut four: Vec<_> = (0..4)
            .map(|_| {
                let logit = self.below(2 * logits) as i32 - logits as i32;
                (self.below(ids) as u32, logit)
            })
            .collect();
        if self.below(3) > 0 {
            four.sort_by(sampler::order);
        }
        four
    }

    fn temperature(&mut self) -> u16 {
        [0, 1, 500, 1000, 2000, self.next() as u16][self.below(6) as usize]
    }

    fn pairs(&mut self, width: usize) -> Vec<(Vec<i32>, Vec<i32>)> {
        let noise = 1u64 << self.below(24);
        (0..self.below(24))
            .map(|_| {
                let mut given: Vec<i32> = (0..width).map(|_| self.logit()).collect();
                given.sort_by(|a, b| b.cmp(a));
                let own = (0..5)
                    .map(|i| {
                        let shift = self.below(noise) as i32 - (noise / 2) as i32;
                        given[i.min(width - 1)].saturating_add(shift)
                    })
                    .collect();
                (given, own)
            })
            .collect()
    }

    pub fn case(&mut self, kind: u64) -> Value {
        let (name, args) = match kind {
            0..=8 => self.of_hashes(kind),
            9..=19 => self.of_sampling(kind),
            20..=29 => self.of_accounts(kind),
            _ => self.of_options(kind),
        };
        json!({"fn": name, "args": args})
    }

    /// Trees, and hashes of what is small.
    fn of_hashes(&mut self, kind: u64) -> (&'static str, Value) {
        let leaves = |r: &mut Random, least: u64| -> Vec<String> {
            (0..least + r.below(40)).map(|_| r.key()).collect()
        };
        match kind {
            0 => ("merkle_root", json!([leaves(self, 0)])),
            1 => {
                let leaves = leaves(self, 1);
                let index = self.below(leaves.len() as u64);
                ("merkle_proof", json!([leaves, index]))
            }
            2 => ("prompt_hash", json!([self.text(16), self.ids(50)])),
            3 => ("job_seed", json!([self.key(), self.key()])),
            4 => ("output_root", json!([self.ids(600)])),
            5 => {
                let (position, token) = (self.any() as u32, self.any() as u32);
                let args = json!([self.key(), self.key(), position, token, self.four()]);
                ("leaf_hash", args)
            }
            6 => {
                let count = self.any() as u32;
                let args = json!([self.key(), count, self.key(), self.key()]);
                ("fingerprint", args)
            }
            7 => {
                let stops: Vec<String> = (0..self.below(4))
                    .map(|_| (0..self.below(9)).map(|_| self.char()).collect())
                    .collect();
                ("stop_hash", json!([stops]))
            }
            _ => {
                let len = 20 * self.below(19) as usize;
                let args = json!([self.key(), self.key(), self.key(), self.text(len)]);
                ("juror_commitment", args)
            }
        }
    }

    /// How tokens are chosen, and positions and jurors drawn.
    fn of_sampling(&mut self, kind: u64) -> (&'static str, Value) {
        match kind {
            9 => ("ln", json!([self.any()])),
            10 => ("gumbel", json!([self.any() as u32])),
            11 => ("gumbel", json!([u32::MAX - self.any() as u32])),
            12 => ("round_q16", json!([self.next() as u32])),
            13 => {
                // Near the halves and the limits.
                let value = (self.any() as i64 - (1 << 20)) as f32 / (1u64 << 18) as f32;
                ("round_q16", json!([value.to_bits()]))
            }
            14 => {
                let coarse = self.below(2) == 0;
                let row: Vec<u32> = (0..self.below(60))
                    .map(|_| match coarse {
                        true => (self.below(9) as f32 / 4.0).to_bits(),
                        false => (self.logit() as f32 / 99_999.0).to_bits(),
                    })
                    .collect();
                ("top4", json!([row]))
            }
            15 => {
                let (temperature, position) = (self.temperature(), self.any() as u32);
                let args = json!([self.key(), temperature, position, self.four()]);
                ("choose", args)
            }
            16 => {
                let (temperature, position) = (self.temperature(), self.any() as u32);
                let four = self.four();
                let token = four[self.below(4) as usize].0;
                let args = json!([self.key(), temperature, position, token, four]);
                ("check_leaf", args)
            }
            17 => {
                let hashes: Vec<String> = (0..4).map(|_| self.key()).collect();
                let most = [40, 5_000][self.below(2) as usize];
                let count = self.below(most);
                ("sample", json!([count, self.key(), hashes]))
            }
            18 => {
                let (index, stake) = (self.below(15), self.any());
                let args = json!([self.key(), self.key(), index, self.key(), stake]);
                ("rank", args)
            }
            _ => ("error_ppm", json!([self.logit(), self.logit()])),
        }
    }

    /// Sampling profile 2: what binds its options, and what is said of a choice that no leaf replays.
    fn of_options(&mut self, kind: u64) -> (&'static str, Value) {
        match kind {
            30 => {
                let len = self.below(300) as usize;
                ("options_hash", json!([self.text(16), self.text(len)]))
            }
            31 => {
                let none = self.below(4) == 0;
                let token = if none { u32::MAX } else { self.any() as u32 };
                let args = json!([self.any() as u32, token, self.four()]);
                ("check_unreplayed", args)
            }
            _ => {
                let flags = [(); 3].map(|()| self.below(3) > 0);
                let [in_grammar, is_over, stops_here] = flags;
                let tokens = 1 + self.below(4);
                let (position, reason) = (self.below(tokens), 1 + self.below(4));
                let args = json!([
                    position,
                    self.four(),
                    self.any() as u32,
                    in_grammar,
                    is_over,
                    stops_here,
                    tokens,
                    reason
                ]);
                ("own_leaf", args)
            }
        }
    }

    /// Terms, models, and what becomes of a case.
    fn of_accounts(&mut self, kind: u64) -> (&'static str, Value) {
        match kind {
            20 => ("terms_hash", json!([self.terms()])),
            27 => ("rules_hash", json!([self.rules()])),
            21 => {
                let eos = self.ids(8);
                let numbers =
                    [16, 16, 32, 32, 32, 32, 16, 32].map(|bits| self.next() >> (64 - bits));
                let [a, b, c, d, e, f, g, h] = numbers;
                let model = json!([
                    self.key(),
                    self.key(),
                    self.key(),
                    a,
                    b,
                    c,
                    d,
                    e,
                    f,
                    g,
                    h,
                    eos
                ]);
                ("model_identity", json!([self.key(), model]))
            }
            22 => {
                let count = self.below(17);
                let positions: Vec<u64> = (0..count).map(|_| self.below(1 << 20)).collect();
                let digests: Vec<String> = (0..self.below(17)).map(|_| self.key()).collect();
                ("positions_hash", json!([positions, digests]))
            }
            23 => {
                let kind = ["false", "withheld"][self.below(2) as usize];
                let args = json!([
                    self.below(10_001),
                    self.below(10_001),
                    1 + self.below(15),
                    self.any() >> 1,
                    self.any() >> 1,
                    self.any() >> 1,
                    kind,
                    1 + self.below(16),
                    self.any() >> 1,
                    self.any() >> 1,
                    self.below(1 << 20)
                ]);
                ("bond", args)
            }
            24 => ("decide", self.findings()),
            25 => ("share_out", self.money()),
            26 => {
                let leaves: Vec<Value> = (0..self.below(17))
                    .map(|_| json!([self.any() as u32, self.any() as u32, self.four()]))
                    .collect();
                ("exact_digest", json!([leaves]))
            }
            28 => {
                let fifths: Vec<Value> = (0..self.below(49))
                    .map(|_| json!([self.any() as u32, self.any() as u32 as i32]))
                    .collect();
                ("work_digest", json!([fifths]))
            }
            _ => {
                let rule = match self.below(3) {
                    0 => json!("exact"),
                    _ => json!([self.below(10_001), self.below(500_000)]),
                };
                let (kind, width) = match self.below(2) {
                    0 => ("submitted", 4),
                    _ => ("checkers", 5),
                };
                ("compare", json!([rule, kind, self.pairs(width)]))
            }
        }
    }

    /// What a case is decided by: mostly seats that say one of two things of each digest.
    fn findings(&mut self) -> Value {
        let seats = 3 + self.below(13);
        let groups = self.below(4);
        let mut firsts: Vec<u64> = Vec::new();
        for seat in 0..seats {
            let earlier = self.below(seat + 1);
            let first = firsts.get(earlier as usize).copied().unwrap_or(seat);
            firsts.push(if self.below(3) == 0 { first } else { seat });
        }
        let list: Vec<Value> = (0..seats)
            .map(|seat| {
                let digests = 2 + groups;
                let right: Vec<u64> = (1..digests).filter(|_| self.below(4) > 0).collect();
                let agrees: Vec<Vec<u64>> = (0..digests)
                    .map(|_| {
                        (0..seats)
                            .filter(|other| *other == seat || self.below(5) > 0)
                            .collect()
                    })
                    .collect();
                let (taken, revealed) = (self.below(9) > 0, self.below(9) > 0);
                json!([taken, revealed, firsts[seat as usize], right, agrees])
            })
            .collect();
        let mut claims: Vec<Value> = Vec::new();
        if self.below(2) == 0 {
            claims.push(json!([false, 0, false]));
        }
        claims.extend((0..groups).map(|group| json!([true, 2 + group, self.below(4) == 0])));
        if claims.is_empty() || self.below(2) == 0 {
            claims.push(json!([true, 0, false]));
        }
        let grounds = ["jury", "jury", "fault", "unanswered", "no_claim", "fault"];
        let ground = grounds[self.below(6) as usize];
        json!([ground, self.below(3) > 0, self.below(4) > 0, list, claims])
    }

    fn money(&mut self) -> Value {
        let verdict = ["guilty", "fault", "not_guilty", "void"][self.below(4) as usize];
        let guilty = verdict == "guilty" || verdict == "fault";
        let (paid, tariff) = (self.below(16), self.next() >> 34);
        let count = self.below(18);
        let claims: Vec<Value> = (0..count)
            .map(|index| {
                let tariffs = if index == 0 { 15 * tariff } else { 0 };
                let (at_stake, fee) = (self.next() >> 24, self.next() >> 34);
                json!([at_stake, fee, tariffs, self.below(3) == 0])
            })
            .collect();
        let rewarded = match self.below(count + 1) {
            index if guilty && index < count => Some(index),
            _ => None,
        };
        let bps = [4_000, 1_000][self.below(2) as usize];
        let slashed = if guilty { self.any() >> 2 } else { 0 };
        json!([
            verdict,
            rewarded,
            bps,
            paid,
            claims,
            tariff,
            tariff / 2,
            slashed
        ])
    }

    fn rules(&mut self) -> Vec<u64> {
        [[32; 8].as_slice(), &[16; 6], &[64; 8]]
            .concat()
            .into_iter()
            .map(|bits| self.next() >> (64 - bits))
            .collect()
    }

    fn terms(&mut self) -> Value {
        let rules = self.rules();
        let source: String = (0..self.below(97))
            .map(|_| char::from(0x20 + self.below(0x5f) as u8))
            .collect();
        json!([
            self.key(),
            self.key(),
            self.key(),
            self.text(16),
            self.key(),
            self.key(),
            self.any() as u32,
            self.any() as u32,
            self.any() as u32,
            self.any() as u32,
            self.key(),
            self.next() as u16,
            self.next() as u8,
            self.key(),
            source,
            self.any() as u32,
            rules
        ])
    }

    fn char(&mut self) -> char {
        char::from_u32(self.any() as u32 & 0x1_ffff).unwrap_or('\u{fffd}')
    }
}
