//! Transactions of banks to archive rows and rows of calls.

use std::collections::HashSet;

use super::{Plan, kind, slot_i64};
use crate::calls::{self, BankCalls, CallRow};
use crate::holder::Input;

impl Plan {
    pub(super) fn called(&mut self, number: i64, input: &Input) {
        let Input::Calls {
            run,
            generation,
            id,
            whole,
            body,
        } = input
        else {
            return;
        };
        self.events
            .row(14)
            .i64(number)
            .i16(kind::CALLS)
            .bytes(run)
            .i64(slot_i64(id.slot))
            .i64((*generation).into())
            .bytes(&id.hash)
            .null()
            .null()
            .null()
            .i32(0)
            .bool(*whole)
            .null()
            .null()
            .null();
        if !body.is_empty() {
            self.transactions
                .row(3)
                .i64(number)
                .i64(slot_i64(id.slot))
                .bytes(body);
        }
        let (rows, read) = calls::rows(body);
        let keys: HashSet<_> = rows.iter().flat_map(CallRow::keys).collect();
        self.keys.extend(keys);
        self.calls.push(BankCalls {
            id: *id,
            whole: *whole && read,
            rows,
        });
    }
}
