//! What was burned, by day and reason.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    decode_all,
    market::{Kept, day_number},
};
use crate::{error::ApiResult, store::Pool};

/// Lamports destined to be burned on a UTC day of finalized blocks, by reason.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = BurnedDay)]
pub struct BurnedDayRow {
    /// `YYYY-MM-DD`.
    day: String,
    /// Parts of the fees of jobs.
    fee_lamports: i64,
    /// Registrations of models.
    registration_lamports: i64,
    /// What cases burned, with what their jurors lost.
    dispute_lamports: i64,
    /// Shares of paid epochs, forfeited epochs, slashed stake that is nobody's.
    lease_lamports: i64,
    /// Lost bonds of disputes about leases.
    lease_dispute_lamports: i64,
    /// What tenants paid to call epochs unserved.
    lease_unserved_lamports: i64,
    /// All of it.
    burned_lamports: i64,
    /// `after` of the next page.
    cursor: String,
}

/// Days that are kept at most.
const DAYS: i64 = 4_000;

async fn days(pool: Pool) -> ApiResult<Vec<BurnedDayRow>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT to_jsonb(b) || jsonb_build_object('cursor', to_char(b.day, 'YYYYMMDD') || '.')
               FROM (SELECT day, COALESCE(sum(burned_lamports) FILTER (WHERE kind = 'fee'), 0) AS fee_lamports,
                            COALESCE(sum(burned_lamports) FILTER (WHERE kind = 'registration'), 0) AS registration_lamports,
                            COALESCE(sum(burned_lamports) FILTER (WHERE kind = 'dispute'), 0) AS dispute_lamports,
                            COALESCE(sum(burned_lamports) FILTER (WHERE kind = 'lease'), 0) AS lease_lamports,
                            COALESCE(sum(burned_lamports) FILTER (WHERE kind = 'lease_dispute'), 0) AS lease_dispute_lamports,
                            COALESCE(sum(burned_lamports) FILTER (WHERE kind = 'lease_unserved'), 0) AS lease_unserved_lamports,
                            sum(burned_lamports) AS burned_lamports
                       FROM analytics.burned_daily GROUP BY day ORDER BY day DESC LIMIT $1) b ORDER BY b.day DESC",
            &[&DAYS],
        )
        .await?;
    decode_all(rows)
}

/// Burned lamports by day: sums over all cases and leases, read once for all who ask within a while.
#[derive(Debug)]
pub struct Burned {
    days: Kept<Vec<BurnedDayRow>>,
}

impl Default for Burned {
    fn default() -> Self {
        Self {
            days: Kept::new(Duration::from_secs(60)),
        }
    }
}

impl Burned {
    /// At most `limit` days before one (`YYYYMMDD`), the newest first.
    pub async fn days(
        &self,
        pool: &Pool,
        before: Option<i64>,
        limit: i64,
    ) -> ApiResult<Vec<BurnedDayRow>> {
        let all = self.days.get(days(pool.clone())).await?;
        let earlier = |row: &&BurnedDayRow| {
            before
                .is_none_or(|before| day_number(&row.cursor).is_some_and(|number| number < before))
        };
        let limit = usize::try_from(limit).unwrap_or(0);
        Ok(all.iter().filter(earlier).take(limit).cloned().collect())
    }
}
