//! Which accounts of the program there are.

use std::collections::HashSet;

use mythic_interface::state::Key;

use crate::db::Session;
use crate::entity::Entity;
use crate::error::IndexerError;

/// Every account that may exist on some chain: it has rows, and no rooted closing after them.
pub async fn accounts(session: &mut Session, schema: &str) -> Result<HashSet<Key>, IndexerError> {
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
