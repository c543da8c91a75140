//! What a subscriber wants of the feed.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use solana_pubkey::Pubkey;

use crate::{
    error::{ApiError, ApiResult},
    intake::plan::Catalogue,
    store::{
        Pool,
        feed::{self as store, FeedEvent},
    },
};

/// Topics that exist.
pub const TOPICS: [&str; 7] = [
    "jobs",
    "results",
    "disputes",
    "validators",
    "settlements",
    "leases",
    "network",
];

/// What a subscriber asks for, as in the query string.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedQuery {
    /// Comma-separated topics; none = all.
    pub topics: Option<String>,
    /// Everything after this number.
    pub after: Option<i64>,
    /// Only this account.
    pub entity: Option<String>,
    /// Only this job and its case.
    pub job: Option<String>,
    /// Only what this validator is part of.
    pub validator: Option<String>,
    /// Only what this wallet pays.
    pub owner: Option<String>,
    /// Only this model.
    pub model: Option<String>,
    /// Only this lease and what is said about it.
    pub lease: Option<String>,
    /// Only this request and its lease.
    pub request: Option<String>,
    /// Only requests and leases of this tenant.
    pub tenant: Option<String>,
    /// Only this provider, named by its authority, and what it is part of.
    pub provider: Option<String>,
}

/// A checked subscription.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    topics: Vec<String>,
    fields: Vec<(&'static str, String)>,
    entity: Option<String>,
}

impl Filter {
    /// Checks topics and filters.
    pub fn new(query: &FeedQuery, catalogue: &Catalogue) -> ApiResult<Self> {
        let topics: Vec<String> = query
            .topics
            .as_deref()
            .unwrap_or("")
            .split(',')
            .map(str::trim)
            .filter(|topic| !topic.is_empty())
            .map(str::to_owned)
            .collect();
        if let Some(wrong) = topics
            .iter()
            .find(|topic| !TOPICS.contains(&topic.as_str()))
        {
            return Err(ApiError::invalid(
                "topics",
                format!("no topic {wrong:?}; there are {}", TOPICS.join(", ")),
            ));
        }
        if query.after.is_some_and(|after| after < 0) {
            return Err(ApiError::invalid(
                "after",
                "after must be the seq of an event, or 0 for all",
            ));
        }
        // The feed names models by their address; clients may name them as in requests.
        let model = query
            .model
            .as_ref()
            .map(|name| match name.parse::<Pubkey>() {
                Ok(_) => Ok(name.clone()),
                Err(_) => catalogue.find(name).map(|model| model.address.to_string()),
            });
        let fields = [
            ("job", query.job.clone()),
            ("validator", query.validator.clone()),
            ("owner", query.owner.clone()),
            ("model", model.transpose()?),
            ("lease", query.lease.clone()),
            ("request", query.request.clone()),
            ("tenant", query.tenant.clone()),
            ("provider", query.provider.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect();
        Ok(Self {
            topics,
            fields,
            entity: query.entity.clone(),
        })
    }

    fn topic(&self, event: &FeedEvent) -> bool {
        self.topics.is_empty() || self.topics.contains(&event.topic)
    }

    fn narrow(&self) -> bool {
        self.entity.is_some() || !self.fields.is_empty()
    }

    fn wants(&self, entity: &str, payload: &Value) -> bool {
        self.entity.as_deref().is_none_or(|wanted| wanted == entity)
            && self.fields.iter().all(|(name, wanted)| {
                let says = |name: &str| payload.get(name).and_then(Value::as_str) == Some(wanted);
                match *name {
                    "job" | "lease" | "request" => entity == wanted || says(name),
                    // An event of a provider itself calls it its authority.
                    "provider" => {
                        let own = payload.get("object").and_then(Value::as_str) == Some("provider");
                        says("provider") || (own && says("authority"))
                    }
                    // Of a case both sides and the jurors are part.
                    "validator" => {
                        let among = |name: &str| {
                            let all = payload.get(name).and_then(Value::as_array);
                            all.is_some_and(|all| all.iter().any(|one| one == wanted))
                        };
                        ["validator", "submitter", "prover"].into_iter().any(says)
                            || ["claimants", "jurors"].into_iter().any(among)
                    }
                    name => says(name),
                }
            })
    }

    /// What this subscriber is shown of an event.
    pub(super) async fn show(&self, pool: &Pool, event: &FeedEvent) -> ApiResult<Vec<Value>> {
        if !self.topic(event) {
            return Ok(Vec::new());
        }
        if !self.narrow() {
            return Ok(vec![event.shown(None)]);
        }
        match &event.entity {
            Some(entity) => Ok(if self.wants(entity, &event.payload) {
                vec![event.shown(None)]
            } else {
                Vec::new()
            }),
            // A row that speaks for a whole bank says it of each entity that this subscriber follows.
            None => {
                let members = event
                    .members
                    .get_or_try_init(|| store::members(pool, event))
                    .await?;
                let shown: BTreeSet<&str> = members
                    .iter()
                    .filter(|(entity, payload)| self.wants(entity, payload))
                    .map(|(entity, _)| entity.as_str())
                    .collect();
                Ok(shown
                    .into_iter()
                    .map(|entity| event.shown(Some(entity)))
                    .collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::sync::OnceCell;

    fn event(entity: Option<&str>, payload: Value) -> FeedEvent {
        let stored = mythic_projection::StoredEvent {
            seq: 5,
            topic: "jobs".into(),
            op: "add".into(),
            entity: entity.map(str::to_owned),
            slot: 1,
            block: Some([1; 32]),
            commitment: "processed".into(),
            payload,
            at: "t".into(),
        };
        FeedEvent {
            stored,
            members: OnceCell::new(),
        }
    }

    #[tokio::test]
    async fn an_unknown_topic_is_refused() {
        let query = FeedQuery {
            topics: Some("jobs,nope".into()),
            ..FeedQuery::default()
        };
        assert_eq!(
            Filter::new(
                &query,
                &Catalogue::new(Vec::new(), crate::chain::Chain::nowhere())
            )
            .unwrap_err()
            .param
            .as_deref(),
            Some("topics")
        );
    }

    #[tokio::test]
    async fn filters_match_entity_and_payload() {
        let query = FeedQuery {
            topics: Some("jobs, results".into()),
            owner: Some("O".into()),
            ..FeedQuery::default()
        };
        let filter = Filter::new(
            &query,
            &Catalogue::new(Vec::new(), crate::chain::Chain::nowhere()),
        )
        .unwrap();
        assert!(filter.topic(&event(None, Value::Null)));
        assert!(filter.wants("J", &json!({"owner": "O"})));
        assert!(!filter.wants("J", &json!({"owner": "P"})));
        let one = Filter::new(
            &FeedQuery {
                entity: Some("J".into()),
                ..FeedQuery::default()
            },
            &Catalogue::new(Vec::new(), crate::chain::Chain::nowhere()),
        )
        .unwrap();
        assert!(one.wants("J", &Value::Null) && !one.wants("K", &Value::Null));
    }

    #[tokio::test]
    async fn a_case_concerns_its_job_both_sides_and_the_jurors() {
        let case = json!({"job": "J", "submitter": "S", "prover": "P", "claimants": ["C", "D"], "jurors": ["A", "B"]});
        let filter = |job: Option<&str>, validator: Option<&str>| {
            let query = FeedQuery {
                job: job.map(str::to_owned),
                validator: validator.map(str::to_owned),
                ..FeedQuery::default()
            };
            Filter::new(
                &query,
                &Catalogue::new(Vec::new(), crate::chain::Chain::nowhere()),
            )
            .unwrap()
        };
        assert!(filter(Some("J"), None).wants("Q", &case));
        assert!(filter(Some("J"), None).wants("J", &json!({"owner": "O"})));
        assert!(!filter(Some("K"), None).wants("Q", &case));
        for validator in ["S", "D", "B", "P"] {
            assert!(filter(Some("J"), Some(validator)).wants("Q", &case));
        }
        assert!(!filter(None, Some("X")).wants("Q", &case));
    }

    #[tokio::test]
    async fn a_lease_concerns_its_request_its_tenant_and_its_provider() {
        let filter = |change: fn(&mut FeedQuery)| {
            let mut query = FeedQuery::default();
            change(&mut query);
            let nowhere = crate::chain::Chain::nowhere();
            Filter::new(&query, &Catalogue::new(Vec::new(), nowhere)).unwrap()
        };
        let lease = json!({"object": "lease", "request": "R", "tenant": "T", "provider": "P"});
        let dispute = json!({"object": "lease_dispute", "lease": "L", "provider": "P"});
        let provider = json!({"object": "provider", "authority": "P"});
        let validator = json!({"authority": "P"});
        let of_lease = filter(|query| query.lease = Some("L".into()));
        assert!(of_lease.wants("L", &lease) && of_lease.wants("D", &dispute));
        assert!(!of_lease.wants("M", &lease));
        let of_request = filter(|query| query.request = Some("R".into()));
        assert!(of_request.wants("L", &lease) && of_request.wants("R", &Value::Null));
        let of_tenant = filter(|query| query.tenant = Some("T".into()));
        assert!(of_tenant.wants("L", &lease) && !of_tenant.wants("D", &dispute));
        let of_provider = filter(|query| query.provider = Some("P".into()));
        for event in [&lease, &dispute, &provider] {
            assert!(of_provider.wants("X", event), "{event}");
        }
        assert!(!of_provider.wants("X", &validator));
    }

    #[test]
    fn a_bank_row_names_the_entity_it_is_shown_for() {
        assert_eq!(event(None, Value::Null).shown(Some("J"))["entity"], "J");
        assert_eq!(event(Some("K"), Value::Null).shown(None)["entity"], "K");
    }
}
