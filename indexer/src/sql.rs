//! The statements of a batch, made from the entity definitions.

use crate::entity::{Entity, VERSION_COLUMNS};

/// All columns of an entity table.
pub fn columns(entity: Entity) -> String {
    let mut all: Vec<&str> = VERSION_COLUMNS.to_vec();
    all.extend(entity.columns());
    all.join(", ")
}

fn keys(entity: Entity) -> String {
    entity.keys().join(", ")
}

/// `SET` list that takes every non-key column from the new row.
fn replace(entity: Entity) -> String {
    VERSION_COLUMNS
        .iter()
        .chain(entity.columns())
        .filter(|column| !entity.keys().contains(column))
        .map(|column| format!("{column} = EXCLUDED.{column}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The hot table with its columns, for `COPY`.
pub fn hot(schema: &str, entity: Entity) -> String {
    format!("{schema}.{}_hot ({})", entity.table(), columns(entity))
}

/// The table for rows of banks that are rooted in the transaction that writes them, with its columns, for `COPY`.
pub fn settled(entity: Entity) -> String {
    format!("pg_temp.settled_{} ({})", entity.table(), columns(entity))
}

/// Makes that table, which is empty after every transaction. It refuses what the hot table refuses.
pub fn make_settled(schema: &str, entity: Entity) -> String {
    let table = entity.table();
    format!(
        "CREATE TEMP TABLE IF NOT EXISTS settled_{table} (LIKE {schema}.{table}_hot INCLUDING CONSTRAINTS) ON COMMIT DELETE ROWS"
    )
}

/// Rows of the banks `$1` that are rooted: hot ones, or those and what is `settled`.
pub fn rooted(schema: &str, entity: Entity, settled: bool) -> String {
    let table = entity.table();
    let columns = columns(entity);
    let hot = format!("SELECT {columns} FROM {schema}.{table}_hot WHERE bank = ANY($1)");
    match settled {
        true => format!("({hot} UNION ALL SELECT {columns} FROM pg_temp.settled_{table}) r"),
        false => format!("({hot}) r"),
    }
}

/// Moves the newest row per entity of `source` into the final table, unless a newer one is there. A row that start-up accounts
/// brought is not newer than the write that made it, which may come later: that one says exactly when it was.
pub fn merge(schema: &str, entity: Entity, source: &str) -> String {
    let (table, columns, keys, replace) = (
        entity.table(),
        columns(entity),
        keys(entity),
        replace(entity),
    );
    format!(
        "INSERT INTO {schema}.{table} AS f ({columns})
         SELECT DISTINCT ON ({keys}) {columns} FROM {source}
         ORDER BY {keys}, slot DESC, ordinal DESC
         ON CONFLICT ({keys}) DO UPDATE SET {replace} WHERE (EXCLUDED.slot, EXCLUDED.ordinal) >= (f.slot, f.ordinal)
             OR (f.ordinal = 2147483647 AND NOT f.exact AND EXCLUDED.exact AND ({old}) IS NOT DISTINCT FROM ({new}))",
        old = content(entity, "f"),
        new = content(entity, "EXCLUDED"),
    )
}

/// What a row says, without where it was written.
fn content(entity: Entity, prefix: &str) -> String {
    let columns = entity.columns().iter().map(|c| format!("{prefix}.{c}"));
    std::iter::once(format!("{prefix}.write_seq"))
        .chain(columns)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Forgets the hot rows of the banks `$1`.
pub fn forget(schema: &str, entity: Entity) -> String {
    format!(
        "DELETE FROM {schema}.{}_hot WHERE bank = ANY($1)",
        entity.table()
    )
}

/// Takes the rows of the banks `$2` out of the overlays of the chains `$1`. The banks still have their hot rows.
pub fn uncover(schema: &str, entity: Entity) -> String {
    let on_keys = entity.keys().iter().map(|key| format!("o.{key} = h.{key}"));
    format!(
        "DELETE FROM {schema}.{table}_overlay o USING {schema}.{table}_hot h
         WHERE h.bank = ANY($2) AND o.chain = ANY($1) AND o.bank = h.bank AND {}",
        on_keys.collect::<Vec<_>>().join(" AND "),
        table = entity.table(),
    )
}

/// Takes the rows of the accounts `$3` that the banks `$2` wrote, pair by pair, out of the overlays of the chains `$1`. The pairs come
/// first in every plan: each finds its rows by the overlay's primary key, however many rows are hot.
pub fn uncover_some(schema: &str, entity: Entity) -> String {
    format!(
        "DELETE FROM {schema}.{table}_overlay o USING unnest($2::bigint[], $3::bytea[]) AS l (bank, pubkey)
         WHERE o.chain = ANY($1) AND o.pubkey = l.pubkey AND o.bank = l.bank",
        table = entity.table(),
    )
}

/// Lays the newest rows of the banks `$2` over chain `$1`; with `touched`, only those of entities that the
/// banks `$3` changed.
pub fn cover(schema: &str, entity: Entity, touched: bool) -> String {
    let (table, columns, keys, replace) = (
        entity.table(),
        columns(entity),
        keys(entity),
        replace(entity),
    );
    let filter = match touched {
        true => format!(
            "AND ({keys}) IN (SELECT {keys} FROM {schema}.{table}_hot WHERE bank = ANY($3))"
        ),
        false => String::new(),
    };
    format!(
        "INSERT INTO {schema}.{table}_overlay AS o (chain, {columns})
         SELECT DISTINCT ON ({keys}) $1::smallint, {columns} FROM {schema}.{table}_hot WHERE bank = ANY($2) {filter}
         ORDER BY {keys}, slot DESC, ordinal DESC
         ON CONFLICT (chain, {keys}) DO UPDATE SET {replace} WHERE (EXCLUDED.slot, EXCLUDED.ordinal) >= (o.slot, o.ordinal)"
    )
}

/// Brings the final table to a base (hot rows of bank `$1`): creates, or replaces rows that are not newer
/// and differ. Returns the accounts it changed.
pub fn base(schema: &str, entity: Entity) -> String {
    let (table, columns, keys, replace) = (
        entity.table(),
        columns(entity),
        keys(entity),
        replace(entity),
    );
    let (old, new) = (content(entity, "f"), content(entity, "EXCLUDED"));
    format!(
        "INSERT INTO {schema}.{table} AS f ({columns})
         SELECT {columns} FROM {schema}.{table}_hot WHERE bank = $1
         ON CONFLICT ({keys}) DO UPDATE SET {replace}
         WHERE f.slot <= EXCLUDED.slot AND (({old}) IS DISTINCT FROM ({new})
             OR EXISTS (SELECT FROM {schema}.closure x WHERE x.pubkey = f.pubkey AND (x.slot, x.ordinal) > (f.slot, f.ordinal)
                        AND x.slot <= EXCLUDED.slot)
             OR EXISTS (SELECT FROM {schema}.unreadable u WHERE u.pubkey = f.pubkey AND u.reason IS NOT NULL
                        AND (u.slot, u.ordinal) > (f.slot, f.ordinal) AND u.slot <= EXCLUDED.slot))
         RETURNING pubkey"
    )
}

/// Closes what a base (event `$1`, slot `$2`, accounts in `base_account`) lacks. Returns the accounts.
pub fn base_closures(schema: &str) -> String {
    let rows = Entity::ALL
        .iter()
        .filter(|e| e.is_account())
        .map(|e| format!("SELECT pubkey, slot, ordinal FROM {schema}.{}", e.table()))
        .collect::<Vec<_>>()
        .join(" UNION ALL ");
    format!(
        "INSERT INTO {schema}.closure AS f (bank, slot, ordinal, write_seq, exact, pubkey)
         SELECT $1, $2, 2147483647, 0, false, p.pubkey
         FROM (SELECT DISTINCT ON (pubkey) pubkey, slot, ordinal FROM ({rows}) r ORDER BY pubkey, slot DESC, ordinal DESC) p
         WHERE p.slot <= $2 AND NOT EXISTS (SELECT FROM pg_temp.base_account b WHERE b.pubkey = p.pubkey)
           AND NOT EXISTS (SELECT FROM {schema}.closure x WHERE x.pubkey = p.pubkey AND (x.slot, x.ordinal) > (p.slot, p.ordinal))
         ON CONFLICT (pubkey, slot) DO UPDATE SET {replace} WHERE f.ordinal < EXCLUDED.ordinal
         RETURNING pubkey",
        replace = replace(Entity::Closure)
    )
}

/// A base (slot `$1`) makes up for what was missed, but not for what stood in an account that was closed before it.
pub fn base_doubts(schema: &str) -> String {
    doubts(schema, "NOT g.healed AND g.last_slot <= $1")
}

/// The same of accounts that the banks `$1`, rooted after a base had spoken for their slots, closed.
pub fn late_doubts(schema: &str) -> String {
    doubts(schema, "c.bank = ANY($1)")
}

/// Closings before which content was missed: in a gap or in a bank that is not whole, and nothing of the account was seen since.
fn doubts(schema: &str, which: &str) -> String {
    let seen = Entity::ALL
        .iter()
        .filter(|e| e.is_account())
        .map(|e| format!("SELECT pubkey, slot, ordinal FROM {schema}.{}", e.table()))
        .collect::<Vec<_>>()
        .join(" UNION ALL ");
    format!(
        "UPDATE {schema}.closure c SET exact = false FROM {schema}.slot g
         WHERE {which} AND c.exact AND (g.status = 6 OR (g.status = 3 AND NOT g.whole)) AND c.slot >= g.slot
           AND NOT EXISTS (SELECT FROM ({seen}) r WHERE r.pubkey = c.pubkey AND r.slot > g.last_slot
                           AND (r.slot, r.ordinal) < (c.slot, c.ordinal))"
    )
}

/// What a base (event `$1`, slot `$2`) could read, or lacks, is not unreadable any more.
pub fn base_readable(schema: &str) -> String {
    format!(
        "UPDATE {schema}.unreadable f SET reason = NULL WHERE f.reason IS NOT NULL AND f.slot <= $2
           AND NOT EXISTS (SELECT FROM {schema}.unreadable_hot h WHERE h.bank = $1 AND h.pubkey = f.pubkey)"
    )
}

/// Accounts that the banks `$1`, rooted late, have and that are not closed later, up to slot `$2`.
pub fn late_accounts(schema: &str) -> String {
    let rows = Entity::ALL
        .iter()
        .filter(|e| e.is_account())
        .map(|e| {
            format!(
                "SELECT pubkey, slot, ordinal FROM {schema}.{}_hot WHERE bank = ANY($1)",
                e.table()
            )
        })
        .collect::<Vec<_>>()
        .join(" UNION ALL ");
    format!(
        "SELECT p.pubkey
         FROM (SELECT DISTINCT ON (pubkey) pubkey, slot, ordinal FROM ({rows}) r ORDER BY pubkey, slot DESC, ordinal DESC) p
         WHERE p.slot <= $2
           AND NOT EXISTS (SELECT FROM {schema}.closure x WHERE x.pubkey = p.pubkey AND x.slot <= $2
                           AND (x.slot, x.ordinal) > (p.slot, p.ordinal))"
    )
}

/// Closes the accounts `$3`, which late banks brought back although the base that was compared before (event `$1`, the state at slot
/// `$2`) lacks them.
pub fn late_closures(schema: &str) -> String {
    format!(
        "INSERT INTO {schema}.closure (bank, slot, ordinal, write_seq, exact, pubkey)
         SELECT $1, $2, 2147483647, 0, false, key FROM unnest($3::bytea[]) key ON CONFLICT DO NOTHING"
    )
}
