//! Classes of capacity.

use mythic_interface::market::state::{Class, ClassStatus};
use mythic_interface::state::Key;
use serde_json::json;

use crate::entity::table;
use crate::feed::Topic;
use crate::fields::{amount, base58, slot_of, status, text};
use crate::{Account, At, Projected, Reject};

table! {
    /// A class. Amounts in lamports.
    Class: ClassRow = "class" ["pubkey"] {
        pubkey: Key,
        name: String,
        retired: bool,
        matrix_side: i64,
        rounds: i64,
        proof_slots: i64,
        stake_per_unit_lamports: i64,
        vram_mib: i64,
        calibrated: bool,
        rent_payer: Key,
        registered_slot: i64,
        retired_slot: Option<i64>,
        lamports: i64,
    }
}

impl Projected {
    pub(super) fn class(
        &mut self,
        account: &Account,
        at: At,
        c: &Class,
        lamports: i64,
    ) -> Result<(), Reject> {
        let status = status(c.header.status, ClassStatus::from_u8)?;
        let write_seq = amount("seq", c.header.seq.get())?;
        let row = ClassRow {
            pubkey: account.pubkey,
            name: text("name", &c.name)?,
            retired: status == ClassStatus::Retired,
            matrix_side: c.probe.n.get().into(),
            rounds: c.probe.rounds.get().into(),
            proof_slots: c.probe.proof_slots.get().into(),
            stake_per_unit_lamports: amount("stake_per_unit", c.probe.stake_per_unit.get())?,
            vram_mib: c.vram_mib.get().into(),
            calibrated: c.calibrated != 0,
            rent_payer: c.rent_payer,
            registered_slot: amount("registered_slot", c.registered_slot.get())?,
            retired_slot: slot_of("retired_slot", c.retired_slot.get())?,
            lamports,
        };
        self.announce(Topic::Network, account, at, || {
            json!({
                "object": "class",
                "id": base58(&row.pubkey),
                "name": row.name,
                "retired": row.retired,
                "matrix_side": row.matrix_side,
                "rounds": row.rounds,
                "proof_slots": row.proof_slots,
                "stake_per_unit_lamports": row.stake_per_unit_lamports,
                "vram_mib": row.vram_mib,
                "calibrated": row.calibrated,
                "write_seq": write_seq,
            })
        });
        self.row(account, at, write_seq, row);
        Ok(())
    }
}
