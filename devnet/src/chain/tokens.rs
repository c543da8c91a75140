//! SPL tokens: what a token account and a mint say, for token balances of transactions and for `getToken…`.

use solana_account::{AccountSharedData, ReadableAccount};
use solana_account_decoder::parse_account_data::SplTokenAdditionalDataV2;
use solana_account_decoder::parse_token::{
    UiTokenAmount, get_token_account_mint, is_known_spl_token_id, token_amount_to_ui_amount_v3,
};
use solana_pubkey::Pubkey;
use solana_transaction_status::TransactionTokenBalance;
use spl_token_2022_interface::extension::interest_bearing_mint::InterestBearingConfig;
use spl_token_2022_interface::extension::scaled_ui_amount::ScaledUiAmountConfig;
use spl_token_2022_interface::extension::{BaseStateWithExtensions, StateWithExtensions};
use spl_token_2022_interface::{native_mint, state};

const TOKEN_ID: Pubkey = Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const WRAPPED_SOL: Pubkey = Pubkey::from_str_const("So11111111111111111111111111111111111111112");

/// Whether this is the token program or Token-2022.
pub fn is_token_program(id: &Pubkey) -> bool {
    is_known_spl_token_id(id)
}

/// The mint of a token account, by its data.
pub fn mint_of(account: &AccountSharedData) -> Option<Pubkey> {
    is_token_program(account.owner())
        .then(|| get_token_account_mint(account.data()))
        .flatten()
}

/// A mint: what is needed to show its amounts.
#[derive(Clone, Copy)]
pub struct Mint {
    /// The token program that owns it.
    pub program: Pubkey,
    /// In the smallest unit.
    pub supply: u64,
    /// Decimals, and the extensions by which a shown amount differs from the held one.
    pub shown_by: SplTokenAdditionalDataV2,
}

impl Mint {
    /// Reads the mint account at `key`; none if it is no mint. `unix_seconds`: the time at which amounts are shown.
    pub fn read(
        key: &Pubkey,
        account: Option<&AccountSharedData>,
        unix_seconds: i64,
    ) -> Option<Self> {
        let Some(account) = account else {
            // Wrapped SOL has decimals also where nobody made its mint.
            return (*key == WRAPPED_SOL).then(|| Self {
                program: TOKEN_ID,
                supply: 0,
                shown_by: SplTokenAdditionalDataV2::with_decimals(native_mint::DECIMALS),
            });
        };
        if !is_token_program(account.owner()) {
            return None;
        }
        let mint = StateWithExtensions::<state::Mint>::unpack(account.data()).ok()?;
        let interest = mint.get_extension::<InterestBearingConfig>().ok();
        let scaled = mint.get_extension::<ScaledUiAmountConfig>().ok();
        Some(Self {
            program: *account.owner(),
            supply: mint.base.supply,
            shown_by: SplTokenAdditionalDataV2 {
                decimals: mint.base.decimals,
                interest_bearing_config: interest.map(|config| (*config, unix_seconds)),
                scaled_ui_amount_config: scaled.map(|config| (*config, unix_seconds)),
            },
        })
    }

    /// An amount of the smallest unit, as clients are shown it.
    pub fn amount(&self, amount: u64) -> UiTokenAmount {
        token_amount_to_ui_amount_v3(amount, &self.shown_by)
    }
}

/// A token account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenAccount {
    pub mint: Pubkey,
    pub owner: Pubkey,
    /// In the smallest unit.
    pub amount: u64,
    pub delegate: Option<Pubkey>,
}

impl TokenAccount {
    /// Reads an initialized token account of either token program; none if it is something else.
    pub fn read(account: &AccountSharedData) -> Option<Self> {
        if !is_token_program(account.owner()) {
            return None;
        }
        let token = StateWithExtensions::<state::Account>::unpack(account.data()).ok()?;
        Some(Self {
            mint: token.base.mint,
            owner: token.base.owner,
            amount: token.base.amount,
            delegate: token.base.delegate.into(),
        })
    }
}

/// Balances of the token accounts among a transaction's accounts. As on a validator, only a transaction that names
/// a token program has any.
pub fn balances(
    keys: &[Pubkey],
    accounts: &[Option<AccountSharedData>],
    mint: impl Fn(&Pubkey) -> Option<Mint>,
) -> Vec<TransactionTokenBalance> {
    if !keys.iter().any(is_token_program) {
        return Vec::new();
    }
    let one = |(index, account): (usize, &Option<AccountSharedData>)| {
        let account = account.as_ref()?;
        let token = TokenAccount::read(account)?;
        Some(TransactionTokenBalance {
            account_index: u8::try_from(index).ok()?,
            mint: token.mint.to_string(),
            ui_token_amount: mint(&token.mint)?.amount(token.amount),
            owner: token.owner.to_string(),
            program_id: account.owner().to_string(),
        })
    };
    accounts.iter().enumerate().filter_map(one).collect()
}
