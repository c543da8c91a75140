//! Which accounts of the programs there are.

use std::collections::HashSet;

use mythic_interface::state::Key;

use crate::db::Session;
use crate::entity::Entity;
use crate::error::IndexerError;
use crate::holder::expected_filter;
use crate::plan::kind;

/// Every account that may exist on some chain, where the newest block was taken under the filter of this build. Else there may be
/// accounts of another program that were never looked at.
pub async fn followed(
    session: &mut Session,
    schema: &str,
) -> Result<Option<HashSet<Key>>, IndexerError> {
    let newest = "SELECT filter_hash FROM archive.event WHERE kind = $1 AND filter_hash IS NOT NULL ORDER BY id DESC LIMIT 1";
    let rows = session.query(newest, &[&kind::BANK]).await?;
    let filter = rows.first().map(|row| row.get::<_, &[u8]>(0));
    match filter.is_none_or(|filter| filter == expected_filter()) {
        true => accounts(session, schema).await.map(Some),
        false => Ok(None),
    }
}

/// It has rows, and no rooted closing after them.
async fn accounts(session: &mut Session, schema: &str) -> Result<HashSet<Key>, IndexerError> {
    let mut keys = HashSet::new();
    let tables = Entity::ALL.iter().copied();
    for entity in tables.filter(|e| e.is_account() || *e == Entity::Unreadable) {
        let table = entity.table();
        let sql = format!(
            "SELECT r.pubkey FROM {schema}.{table} r WHERE NOT EXISTS (SELECT FROM {schema}.closure x
                 WHERE x.pubkey = r.pubkey AND (x.slot, x.ordinal) > (r.slot, r.ordinal))
             UNION SELECT pubkey FROM {schema}.{table}_hot"
        );
        for row in &session.query(&sql, &[]).await? {
            let key = Key::try_from(row.get::<_, &[u8]>(0));
            keys.insert(key.map_err(|_| IndexerError::Broken("stored key of an account".into()))?);
        }
    }
    Ok(keys)
}
