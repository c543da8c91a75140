//! Instructions of the market's tests: the interface's own builders, and those that need it with the tests' usual arguments.

use mythic_interface::COMPUTE_MARKET_ID;
use mythic_interface::le::{Text, U16, U32, U64};
use mythic_interface::market::address;
use mythic_interface::market::ix::{
    self, Initialize, RegisterClass, RegisterProvider, RequestCompute, UpdateProvider,
};
pub use mythic_interface::market::ix::{
    accept_admin, add_stake, cancel_request, close_provider, pause, propose_admin, request_unstake,
    retire_class, sweep, unjail, unpause, update_config, withdraw_claimable, withdraw_foundation,
    withdraw_stake,
};
use mythic_interface::market::params::{Grid, MarketParams};
use mythic_interface::market::state::Probe;
use mythic_interface::state::Key;
use solana_instruction::Instruction as Call;

use crate::calls::text;
use crate::chain::SOL;
use crate::keys::{key, operator};

/// Stands for an optional account that is absent.
pub const NONE: Key = COMPUTE_MARKET_ID;
/// Lamports a second for each unit of the tests' providers.
pub const PRICE: u64 = 10_000;
/// Stake behind each unit of the tests' classes.
pub const STAKE_PER_UNIT: u64 = SOL / 10;
/// The grid of a development network.
pub const GRID: Grid = Grid {
    epoch_slots: U32::new(150),
    epoch_seconds: U32::new(60),
};

pub fn config() -> Key {
    address::config().to_bytes()
}
pub fn treasury() -> Key {
    address::treasury().to_bytes()
}
pub fn class(name: &str) -> Key {
    address::class(&text(name)).to_bytes()
}
pub fn provider(name: &str) -> Key {
    address::provider(key(name)).to_bytes()
}
pub fn lease(request: &Key) -> Key {
    address::lease(request).to_bytes()
}
pub fn dispute(lease: &Key, epoch: u64, disputer: &str) -> Key {
    address::lease_dispute(lease, epoch, key(disputer)).to_bytes()
}

pub fn initialize(grid: Grid, params: &MarketParams) -> Call {
    let args = Initialize {
        admin: key("admin"),
        foundation: key("foundation"),
        grid,
        params: *params,
    };
    ix::initialize(key("payer"), key("upgrade_authority"), &args)
}

/// What each unit of a class of side `n` proves.
pub fn probe(n: u32, rounds: u32) -> Probe {
    Probe {
        n: U32::new(n),
        rounds: U32::new(rounds),
        proof_slots: U32::new(50),
        stake_per_unit: U64::new(STAKE_PER_UNIT),
    }
}

pub fn register_class(name: &str, probe: Probe) -> Call {
    let args = RegisterClass {
        name: text(name),
        probe,
        vram_mib: U32::new(0),
        calibrated: 0,
    };
    ix::register_class(key("payer"), key("admin"), &args)
}

/// A provider of four units in the region `eu`, isolated by containers.
pub fn registration(name: &str) -> RegisterProvider {
    RegisterProvider {
        operator: operator(name),
        stake: U64::new(2 * SOL),
        units: U16::new(4),
        price: U64::new(PRICE),
        region: text("eu"),
        isolation: 1,
        endpoint: text("https://provider.example:8443"),
    }
}

pub fn register_provider(name: &str, class: &str, args: &RegisterProvider) -> Call {
    ix::register_provider(key(name), key(name), self::class(class), args)
}

/// What the registration says.
pub fn profile(name: &str) -> UpdateProvider {
    let said = registration(name);
    UpdateProvider {
        operator: said.operator,
        units: said.units,
        price: said.price,
        region: said.region,
        isolation: said.isolation,
        endpoint: said.endpoint,
    }
}

pub fn update_provider(name: &str, args: &UpdateProvider) -> Call {
    ix::update_provider(key(name), args)
}

/// A request of one unit of any provider for ten minutes.
pub fn asking(nonce: [u8; 16], rules_hash: [u8; 32]) -> RequestCompute {
    RequestCompute {
        nonce,
        kind: 2,
        spec_hash: [5; 32],
        spec_source: text("https://specs.example/1"),
        model: [0; 32],
        units: 1,
        region: Text::default(),
        isolation: 0,
        provider: [0; 32],
        price: U64::new(PRICE),
        seconds: U32::new(600),
        deadline_slots: U32::new(100),
        rules_hash,
        bump: 0,
    }
}
