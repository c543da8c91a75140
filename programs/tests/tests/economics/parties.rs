//! Ways to take part, and the network in which they are played.

use mythic_interface::params::Params;
use mythic_program_tests::calls;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::court::{court, juror};
use mythic_program_tests::keys::key;
use mythic_program_tests::world::{EXACT, World, model};

/// Validators of the network.
pub const VALIDATORS: usize = 30;
/// What a whale has.
pub const WHALE: u64 = 200 * SOL;
/// Tokens of an answer.
pub const TOKENS: u32 = 256;

/// A way to take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Says of true answers that they are false.
    Spam,
    /// Answers truly, keeps the evidence from whoever asks, and shows it when that is claimed.
    Bait,
    /// Lets another model answer.
    Lie,
    /// Changes one token.
    OneToken,
    /// Lets another model answer, and shows nothing.
    Silent,
    /// Lies, and has a friend who says so first.
    Friend,
    /// Lies, and has ten friends who fill the case before the truth comes.
    Filled,
    /// Lies with a fault planted beside, which a friend proves when the jury has revealed.
    Planted,
    /// Changes one token and plants such a fault; a friend says first that it is false, and names nothing.
    PlantedFriend,
    /// Lies with a hundred times the stake of any other.
    Whale,
    /// A third of the jurors copy what is shown.
    Lazy,
    /// Lies; keys with so many percent of all stake approve where they have the seats to prevent a verdict, and judge honestly elsewhere.
    Cabal(u32),
    /// Keys with so many percent of all stake say that a true answer is false, and vote so where they have those seats.
    Robbers(u32),
}

impl Strategy {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 17] = [
        Self::Spam,
        Self::Bait,
        Self::Lie,
        Self::OneToken,
        Self::Silent,
        Self::Friend,
        Self::Filled,
        Self::Planted,
        Self::PlantedFriend,
        Self::Whale,
        Self::Lazy,
        Self::Cabal(10),
        Self::Cabal(20),
        Self::Cabal(33),
        Self::Robbers(10),
        Self::Robbers(20),
        Self::Robbers(33),
    ];

    /// As the table calls it.
    pub fn name(self) -> String {
        match self {
            Self::Spam => "spam: `false` of true answers".into(),
            Self::Bait => "bait: true answers, evidence withheld until claimed".into(),
            Self::Lie => "another model answers".into(),
            Self::OneToken => "one token changed".into(),
            Self::Silent => "another model, nothing shown".into(),
            Self::Friend => "lie, a friend claims first".into(),
            Self::Filled => "lie, ten friends fill the case".into(),
            Self::Planted => "lie, a planted fault proved in time".into(),
            Self::PlantedFriend => {
                "one token changed, a friend claims nothing, a planted fault".into()
            }
            Self::Whale => "a whale of 100 stakes lies".into(),
            Self::Lazy => "a third of the jurors copy".into(),
            Self::Cabal(share) => format!("lie, {share} % of the stake approve where that decides"),
            Self::Robbers(share) => {
                format!("{share} % of the stake convict the honest where they can")
            }
        }
    }

    /// Whether what it says is not true: such a thing must not pay.
    pub fn lies(self) -> bool {
        self != Self::Bait
    }

    /// Whether its answer is false, so that it earns as long as nobody looks.
    pub fn answers_falsely(self) -> bool {
        !matches!(
            self,
            Self::Spam | Self::Bait | Self::Lazy | Self::Robbers(_)
        )
    }

    /// Whether the draw of the jury decides what becomes of it.
    pub fn depends_on_the_draw(self) -> bool {
        matches!(self, Self::Lazy | Self::Cabal(_) | Self::Robbers(_))
    }

    /// Whether its jurors look at the draw before they vote: the seats are drawn before anybody commits.
    pub fn sees_the_draw(self) -> bool {
        matches!(self, Self::Cabal(_) | Self::Robbers(_))
    }

    /// The keys that play it, but for jurors of [`Self::Lazy`], who are who the draw makes them.
    pub fn keys(self) -> Vec<String> {
        let many = match self {
            Self::Spam | Self::Friend | Self::Planted => 2,
            Self::PlantedFriend => 3,
            Self::Filled => 11,
            Self::Cabal(share) | Self::Robbers(share) => VALIDATORS * share as usize / 100 + 1,
            _ => 1,
        };
        match self {
            Self::Whale => vec!["whale".into()],
            // Who answers is another.
            Self::Spam | Self::Robbers(_) => (1..many).map(juror).collect(),
            Self::Cabal(_) => (0..many - 1).map(juror).collect(),
            Self::Lazy => Vec::new(),
            _ => (0..many).map(juror).collect(),
        }
    }
}

/// A network to play in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Seats of a jury.
    pub seats: u16,
    /// Lamports for 1,000 tokens of output.
    pub price: u32,
}

impl Setting {
    /// The grid: three sizes of juries, and prices up to what a validator of this stake may take.
    pub const ALL: [Self; 4] = [
        Self::of(3, 50_000),
        Self::of(7, 50_000),
        Self::of(15, 50_000),
        Self::of(15, 370_000_000),
    ];

    const fn of(seats: u16, price: u32) -> Self {
        Self { seats, price }
    }

    /// The parameters of a network in earnest, which has this setting.
    pub fn network(self) -> World {
        let mut world = court(VALIDATORS, self.seats, |params| {
            *params = Params::mainnet();
            params.rules.jury_seats.set(self.seats);
            params.rules.maturity_slots.set(1);
        });
        world.seat("whale", WHALE);
        let prices = (25_000, self.price);
        let call = calls::update_model(key("registrant"), model(EXACT), prices, "checked", 0);
        world.chain.must(call);
        world.chain.advance(10);
        world
    }
}
