//! Calls of our program, beside the bank they are of.

use std::collections::BTreeMap;

use mythic_interface::AI_PRECOMPILES_ID;
use mythic_interface::error::MythicError;
use mythic_interface::ix::ALL;
use mythic_postgres::CopyBuffer;

use super::Writer;
use crate::calls::{BankCalls, COLUMNS, state};
use crate::error::IndexerError;
use crate::plan::Plan;

const ROLLED: &str = "bank, slot, last_slot, blockhash, parent_slot, parent_blockhash, block_time, status, on_processed, on_confirmed, \
     replaced, accounts, entities, whole, healed, calls";

impl Writer {
    /// Writes the calls of banks. The first whole ones of a bank stay; incomplete ones give way to them.
    pub(super) async fn calls(&mut self, plan: &mut Plan) -> Result<(), IndexerError> {
        let all = std::mem::take(&mut plan.calls);
        if all.is_empty() {
            return Ok(());
        }
        let schema = self.schema.clone();
        let slots: Vec<i64> = all.iter().map(|of| of.id.slot as i64).collect();
        let hashes: Vec<&[u8]> = all.iter().map(|of| &of.id.hash[..]).collect();
        let sql = format!(
            "SELECT u.place, s.bank, s.calls FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY u(slot, blockhash, place)
               JOIN {schema}.slot s ON s.slot = u.slot AND s.blockhash = u.blockhash ORDER BY u.place"
        );
        // The upkeep rolls blocks up at the same time: those in `slot` stay there, the others are brought back.
        let hold = format!(
            "SELECT FROM {schema}.slot s JOIN unnest($1::bigint[], $2::bytea[]) u(slot, blockhash)
                 ON s.slot = u.slot AND s.blockhash = u.blockhash FOR UPDATE OF s"
        );
        self.session.execute(&hold, &[&slots, &hashes]).await?;
        self.unroll(&slots, &hashes).await?;
        let found = self.session.query(&sql, &[&slots, &hashes]).await?;
        // Of each bank: what is stored of it, what it comes to now, and from whose rows.
        let mut banks: BTreeMap<i64, (Option<i16>, Option<i16>, &BankCalls)> = BTreeMap::new();
        for row in &found {
            let (place, bank, stored): (i64, i64, Option<i16>) =
                (row.get(0), row.get(1), row.get(2));
            let Some(of) = usize::try_from(place - 1).ok().and_then(|at| all.get(at)) else {
                continue;
            };
            let before = banks.get(&bank).map_or(stored, |(_, now, _)| *now);
            let now = match (before, of.whole) {
                (Some(state::WHOLE), _) | (Some(state::INCOMPLETE), false) => continue,
                (_, true) => state::WHOLE,
                (_, false) => state::INCOMPLETE,
            };
            banks.insert(bank, (stored, Some(now), of));
        }
        let (mut rows, mut replaced) = (CopyBuffer::default(), (Vec::new(), Vec::new()));
        let (mut numbers, mut states) = (Vec::new(), Vec::new());
        for (bank, (stored, now, of)) in &banks {
            let slot = of.id.slot as i64;
            if *stored == Some(state::INCOMPLETE) {
                replaced.0.push(slot);
                replaced.1.push(*bank);
            }
            for row in &of.rows {
                row.write(slot, *bank, &mut rows);
            }
            numbers.push(*bank);
            states.push(*now);
        }
        if !replaced.0.is_empty() {
            let sql = format!(
                "DELETE FROM {schema}.call c USING unnest($1::bigint[], $2::bigint[]) u(slot, bank)
                  WHERE c.slot = u.slot AND c.bank = u.bank"
            );
            self.session
                .execute(&sql, &[&replaced.0, &replaced.1])
                .await?;
        }
        self.session
            .copy(&format!("{schema}.call ({COLUMNS})"), rows)
            .await?;
        let sql = format!(
            "UPDATE {schema}.slot s SET calls = u.calls FROM unnest($1::bigint[], $2::smallint[]) u(bank, calls) WHERE s.bank = u.bank"
        );
        self.session.execute(&sql, &[&numbers, &states]).await?;
        Ok(())
    }

    /// Blocks that were rolled up because they had no calls are rows of `slot` again.
    async fn unroll(&mut self, slots: &[i64], hashes: &[&[u8]]) -> Result<(), IndexerError> {
        let schema = &self.schema;
        let rolled = format!(
            "SELECT slot FROM {schema}.empty_slot WHERE slot = ANY($1) AND blockhash = ANY($2)"
        );
        let found = self.session.query(&rolled, &[&slots, &hashes]).await?;
        if found.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "WITH of AS (SELECT v.* FROM {schema}.every_slot v JOIN unnest($1::bigint[], $2::bytea[]) u(slot, blockhash)
                             ON v.slot = u.slot AND v.blockhash = u.blockhash),
             gone AS (DELETE FROM {schema}.empty_slot e USING of WHERE e.bank = of.bank AND e.slot = of.slot RETURNING of.*)
             INSERT INTO {schema}.slot ({ROLLED}) SELECT {ROLLED} FROM gone"
        );
        self.session.execute(&sql, &[&slots, &hashes]).await?;
        Ok(())
    }

    /// Brings what the interface says of instructions and errors to the database, which shows it by number.
    pub(super) async fn interface(&mut self) -> Result<(), IndexerError> {
        let schema = &self.schema;
        let (mut tags, mut names, mut trailing) = (Vec::new(), Vec::new(), Vec::new());
        let (mut of, mut places, mut roles) = (Vec::new(), Vec::new(), Vec::new());
        for tag in ALL {
            let number = i16::from(*tag as u8);
            tags.push(number);
            names.push(tag.name());
            trailing.push(tag.spec().trailing);
            for (place, account) in (0i16..).zip(tag.spec().accounts) {
                of.push(number);
                places.push(place);
                roles.push(account.name);
            }
        }
        let errors = MythicError::ALL;
        let codes: Vec<i64> = errors.iter().map(|error| error.code().into()).collect();
        let words: Vec<&str> = errors.iter().map(|error| error.name()).collect();
        let messages: Vec<&str> = errors.iter().map(|error| error.message()).collect();
        let sql = format!(
            "WITH a AS (INSERT INTO {schema}.instruction (tag, name, following) SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[])
                 ON CONFLICT (tag) DO UPDATE SET name = EXCLUDED.name, following = EXCLUDED.following),
             b AS (INSERT INTO {schema}.instruction_role (tag, place, name) SELECT * FROM unnest($4::smallint[], $5::smallint[], $6::text[])
                 ON CONFLICT (tag, place) DO UPDATE SET name = EXCLUDED.name),
             c AS (INSERT INTO {schema}.program (key) VALUES ($10) ON CONFLICT (only_row) DO UPDATE SET key = EXCLUDED.key)
             INSERT INTO {schema}.program_error (code, name, message) SELECT * FROM unnest($7::bigint[], $8::text[], $9::text[])
                 ON CONFLICT (code) DO UPDATE SET name = EXCLUDED.name, message = EXCLUDED.message"
        );
        self.session
            .execute(
                &sql,
                &[
                    &tags,
                    &names,
                    &trailing,
                    &of,
                    &places,
                    &roles,
                    &codes,
                    &words,
                    &messages,
                    &&AI_PRECOMPILES_ID[..],
                ],
            )
            .await?;
        Ok(())
    }
}
