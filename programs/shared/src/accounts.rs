//! Accounts: checked lists, typed borrows, creation, closing, lamports. Both programs touch accounts
//! through this module only.

use bytemuck::Zeroable;
use mythic_interface::SYSTEM_PROGRAM;
use mythic_interface::error::MythicError;
use mythic_interface::hash::sha256;
use mythic_interface::ix::InstructionSpec;
use mythic_interface::le::U64;
use mythic_interface::state::{Account, Header, Key, VERSION};
use pinocchio::account::{Ref, RefMut};
use pinocchio::cpi::{Seed, Signer};
use pinocchio::sysvars::Sysvar;
use pinocchio::sysvars::clock::Clock;
use pinocchio::sysvars::rent::Rent;
use pinocchio::{AccountView, Address, ProgramResult};
use pinocchio_system::instructions::{Allocate, Assign, Transfer};

const SYSTEM: Address = Address::new_from_array(SYSTEM_PROGRAM);

/// Seeds of an address, without the bump: at most this many.
const MAX_SEEDS: usize = 4;

/// Checks number, signatures and writability of the accounts of an instruction of `program`.
#[inline(never)]
pub fn check_list(
    accounts: &[AccountView],
    spec: &InstructionSpec,
    program: &Key,
) -> Result<(), MythicError> {
    if accounts.len() < spec.accounts.len() {
        return Err(MythicError::NotEnoughAccounts);
    }
    if accounts.len() > spec.accounts.len() && spec.trailing.is_none() {
        return Err(MythicError::TooManyAccounts);
    }
    for (account, spec) in accounts.iter().zip(spec.accounts) {
        if spec.optional && key(account) == program {
            continue;
        }
        if spec.signer && !account.is_signer() {
            return Err(MythicError::MissingSignature);
        }
        if spec.writable && !account.is_writable() {
            return Err(MythicError::AccountNotWritable);
        }
    }
    Ok(())
}

/// Refuses another account than the system program.
pub fn check_system(account: &AccountView) -> Result<(), MythicError> {
    match *account.address() == SYSTEM {
        true => Ok(()),
        false => Err(MythicError::InvalidSystemProgram),
    }
}

/// An account's address as raw bytes.
pub fn key(account: &AccountView) -> &Key {
    account.address().as_array()
}

/// Whether the account is a program's.
pub fn is_of(account: &AccountView, program: &Key) -> bool {
    account.owned_by(&Address::new_from_array(*program))
}

/// The current slot.
pub fn slot() -> Result<u64, MythicError> {
    Ok(Clock::get()
        .map_err(|_| MythicError::ClockUnavailable)?
        .slot)
}

/// The current slot and second (Unix).
pub fn clock() -> Result<(u64, u64), MythicError> {
    let clock = Clock::get().map_err(|_| MythicError::ClockUnavailable)?;
    let second = u64::try_from(clock.unix_timestamp).map_err(|_| MythicError::ClockUnavailable)?;
    Ok((clock.slot, second))
}

/// Lamports that keep an account of `len` bytes alive.
pub fn rent(len: usize) -> Result<u64, MythicError> {
    Rent::get()
        .and_then(|rent| rent.try_minimum_balance(len))
        .map_err(|_| MythicError::ClockUnavailable)
}

/// Borrows an account of type `T` for reading.
pub fn load<T: Account>(account: &AccountView) -> Result<Ref<'_, T>, MythicError> {
    if !is_of(account, &T::PROGRAM) {
        return Err(MythicError::WrongAccountOwner);
    }
    let data = account
        .try_borrow()
        .map_err(|_| MythicError::WrongAccountType)?;
    Ref::try_map(data, |bytes| T::load(bytes)).map_err(|_| MythicError::WrongAccountType)
}

/// Borrows an account of type `T` for writing, and counts the write. Once per instruction and account.
pub fn load_mut<T: Account>(account: &mut AccountView) -> Result<RefMut<'_, T>, MythicError> {
    if !is_of(account, &T::PROGRAM) {
        return Err(MythicError::WrongAccountOwner);
    }
    let data = account
        .try_borrow_mut()
        .map_err(|_| MythicError::WrongAccountType)?;
    let mut state = RefMut::try_map(data, |bytes| T::load_mut(bytes))
        .map_err(|_| MythicError::WrongAccountType)?;
    let header = state.header_mut();
    let seq = header
        .seq
        .get()
        .checked_add(1)
        .ok_or(MythicError::CounterOverflow)?;
    header.seq = U64::new(seq);
    Ok(state)
}

/// What an account is created from.
struct Blueprint<'a> {
    seeds: &'a [&'a [u8]],
    bump: u8,
    len: usize,
    discriminator: u8,
    program: Address,
}

impl<'a> Blueprint<'a> {
    fn of<T: Account>(seeds: &'a [&'a [u8]], bump: u8) -> Self {
        Self {
            seeds,
            bump,
            len: T::LEN,
            discriminator: T::DISCRIMINATOR,
            program: Address::new_from_array(T::PROGRAM),
        }
    }
}

/// The address of a program that seeds give with the canonical bump, and that bump.
pub fn find(seeds: &[&[u8]], program: &Key) -> Result<(Key, u8), MythicError> {
    let program = Address::new_from_array(*program);
    let (address, bump) =
        Address::try_find_program_address(seeds, &program).ok_or(MythicError::WrongAddress)?;
    Ok((address.to_bytes(), bump))
}

/// Creates the account of type `T` at the address that `seeds` give with the canonical bump, its rent
/// paid by `payer`, all zero but discriminator, version and bump. Lamports that someone sent there before
/// are kept.
pub fn create<T: Account>(
    payer: &AccountView,
    account: &mut AccountView,
    seeds: &[&[u8]],
) -> Result<(), MythicError> {
    let (address, bump) = find(seeds, &T::PROGRAM)?;
    if *key(account) != address {
        return Err(MythicError::WrongAddress);
    }
    build(payer, account, &Blueprint::of::<T>(seeds, bump))
}

/// [`create`] with a bump that the caller gives, which saves the search for it. It need not be the canonical one, so
/// this is for accounts of which a second one at another bump does no harm. A bump that gives no address of a
/// program is refused by the runtime itself, when the account is to sign its creation.
pub fn create_at<T: Account>(
    payer: &AccountView,
    account: &mut AccountView,
    seeds: &[&[u8]],
    bump: u8,
) -> Result<(), MythicError> {
    let bump_seed = [bump];
    let mut parts: [&[u8]; MAX_SEEDS + 3] = [&[]; MAX_SEEDS + 3];
    let ends = [&bump_seed[..], &T::PROGRAM, b"ProgramDerivedAddress"];
    for (part, bytes) in parts.iter_mut().zip(seeds.iter().chain(&ends)) {
        *part = bytes;
    }
    if *key(account) != sha256(&parts) {
        return Err(MythicError::WrongAddress);
    }
    build(payer, account, &Blueprint::of::<T>(seeds, bump))
}

/// [`create`] without its rent, which the caller brings in the same instruction.
pub fn create_unpaid<T: Account>(
    account: &mut AccountView,
    seeds: &[&[u8]],
) -> Result<(), MythicError> {
    let (address, bump) = find(seeds, &T::PROGRAM)?;
    if *key(account) != address {
        return Err(MythicError::WrongAddress);
    }
    let blueprint = Blueprint::of::<T>(seeds, bump);
    make(account, &blueprint, |account, signer| {
        let space = blueprint.len as u64;
        Allocate { account, space }.invoke_signed(signer)?;
        let owner = &blueprint.program;
        Assign { account, owner }.invoke_signed(signer)
    })
}

#[inline(never)]
fn build(
    payer: &AccountView,
    account: &mut AccountView,
    blueprint: &Blueprint,
) -> Result<(), MythicError> {
    make(account, blueprint, |account, signer| {
        pinocchio_system::create_account_with_minimum_balance_signed(
            account,
            blueprint.len,
            &blueprint.program,
            payer,
            None,
            signer,
        )
    })
}

/// Gives an account its space and owner by `calls`, which it signs, and writes its header.
#[inline(always)]
fn make(
    account: &mut AccountView,
    blueprint: &Blueprint,
    calls: impl FnOnce(&mut AccountView, &[Signer]) -> ProgramResult,
) -> Result<(), MythicError> {
    if !account.owned_by(&SYSTEM) {
        return Err(MythicError::AccountExists);
    }
    let bump_seed = [blueprint.bump];
    let mut parts: [Seed; MAX_SEEDS + 1] = core::array::from_fn(|_| Seed::from(&bump_seed));
    let signer = parts
        .get_mut(..=blueprint.seeds.len())
        .ok_or(MythicError::WrongAddress)?;
    for (part, seed) in signer.iter_mut().zip(blueprint.seeds) {
        *part = Seed::from(*seed);
    }
    let signer = Signer::from(&*signer);
    calls(account, &[signer]).map_err(|_| MythicError::SystemCallFailed)?;

    let mut data = account
        .try_borrow_mut()
        .map_err(|_| MythicError::AccountExists)?;
    let bytes = data
        .get_mut(..size_of::<Header>())
        .ok_or(MythicError::WrongAccountType)?;
    let mut header = Header::zeroed();
    header.discriminator = blueprint.discriminator;
    header.version = VERSION;
    header.bump = blueprint.bump;
    bytes.copy_from_slice(bytemuck::bytes_of(&header));
    Ok(())
}

/// Pays from a signer's system account.
pub fn pay(payer: &AccountView, to: &AccountView, lamports: u64) -> Result<(), MythicError> {
    Transfer {
        from: payer,
        to,
        lamports,
    }
    .invoke()
    .map_err(|_| MythicError::SystemCallFailed)
}

/// Moves lamports out of an account of the program that runs.
pub fn move_lamports(
    from: &mut AccountView,
    to: &mut AccountView,
    lamports: u64,
) -> Result<(), MythicError> {
    let rest = from
        .lamports()
        .checked_sub(lamports)
        .ok_or(MythicError::BalanceUnderflow)?;
    from.set_lamports(rest);
    let sum = to
        .lamports()
        .checked_add(lamports)
        .ok_or(MythicError::AmountTooLarge)?;
    to.set_lamports(sum);
    Ok(())
}

/// Closes an account of the program that runs; what lies in it, its rent, goes to `to`.
pub fn close(account: &mut AccountView, to: &mut AccountView) -> Result<(), MythicError> {
    let lamports = account.lamports();
    move_lamports(account, to, lamports)?;
    account.close().map_err(|_| MythicError::WrongAccountType)
}

/// `counter + 1`.
pub fn raised(counter: u32) -> Result<u32, MythicError> {
    counter.checked_add(1).ok_or(MythicError::CounterOverflow)
}

/// `counter - 1`.
pub fn lowered(counter: u32) -> Result<u32, MythicError> {
    counter.checked_sub(1).ok_or(MythicError::CounterOverflow)
}
