//! A transaction as Agave tells it.

use agave_geyser_plugin_interface::geyser_plugin_interface::ReplicaTransactionInfoV3;
use mythic_geyser_core::{Executed, Failure, Instruction};
use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

pub(crate) struct Told<'a>(pub &'a ReplicaTransactionInfoV3<'a>);

impl<'a> Executed<'a> for Told<'a> {
    fn signature(&self) -> [u8; 64] {
        *self.0.signature.as_array()
    }

    fn is_vote(&self) -> bool {
        self.0.is_vote
    }

    fn index(&self) -> usize {
        self.0.index
    }

    fn keys(&self) -> impl Iterator<Item = &'a [u8; 32]> {
        let loaded = &self.0.transaction_status_meta.loaded_addresses;
        let keys = self.0.transaction.message.static_account_keys().iter();
        let keys = keys.chain(&loaded.writable).chain(&loaded.readonly);
        keys.map(|key| key.as_array())
    }

    fn instructions(&self) -> impl Iterator<Item = Instruction<'a>> {
        let instructions = self.0.transaction.message.instructions().iter();
        instructions.map(|own| Instruction {
            program: own.program_id_index,
            accounts: &own.accounts,
            data: &own.data,
        })
    }

    fn led_to(&self, instruction: usize) -> impl Iterator<Item = Instruction<'a>> {
        let groups = self.0.transaction_status_meta.inner_instructions.as_deref();
        let groups = groups.unwrap_or_default().iter();
        groups
            .filter(move |group| usize::from(group.index) == instruction)
            .flat_map(|group| &group.instructions)
            .map(|called| Instruction {
                program: called.instruction.program_id_index,
                accounts: &called.instruction.accounts,
                data: &called.instruction.data,
            })
    }

    fn fee(&self) -> u64 {
        self.0.transaction_status_meta.fee
    }

    fn compute_units(&self) -> Option<u64> {
        self.0.transaction_status_meta.compute_units_consumed
    }

    fn failure(&self) -> Option<Failure> {
        let error = self.0.transaction_status_meta.status.as_ref().err()?;
        let (instruction, code, error) = match error {
            TransactionError::InstructionError(at, InstructionError::Custom(code)) => {
                (Some(*at), Some(*code), "Custom".into())
            }
            TransactionError::InstructionError(at, error) => {
                (Some(*at), None, format!("{error:?}"))
            }
            error => (None, None, format!("{error:?}")),
        };
        Some(Failure {
            instruction,
            code,
            error,
        })
    }

    fn log(&self) -> &'a [String] {
        let log = self.0.transaction_status_meta.log_messages.as_deref();
        log.unwrap_or_default()
    }
}
