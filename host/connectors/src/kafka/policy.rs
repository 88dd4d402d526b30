//! What a topic's own settings allow, which the brokers are asked when it matters.
//!
//! Where nobody says it, because the brokers may not be asked, it is not known: nothing is refused for that.

use super::client::{Cluster, Context, QUESTION_TIMEOUT};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};

/// Settings of a topic.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TopicPolicy {
    /// Whether compaction may take single records out of its logs.
    pub(super) is_compacted: Option<bool>,
    /// How large a batch of messages may be, and so a single one.
    pub(super) most_bytes: Option<usize>,
}

impl TopicPolicy {
    /// Asks the brokers.
    pub(super) async fn ask(cluster: &Cluster, topic: &str) -> TopicPolicy {
        let Ok(admin) = cluster.client::<AdminClient<Context>>() else { return TopicPolicy::default() };
        let options = AdminOptions::new().request_timeout(Some(QUESTION_TIMEOUT));
        let topic = ResourceSpecifier::Topic(topic);
        let answer = admin.describe_configs([&topic], &options).await;
        let config = answer.ok().and_then(|all| all.into_iter().next()?.ok());
        let setting = |name| config.as_ref().and_then(|config| config.get(name)?.value.clone());
        TopicPolicy {
            is_compacted: setting("cleanup.policy").map(|policy| policy.contains("compact")),
            most_bytes: setting("max.message.bytes").and_then(|bytes| bytes.parse().ok()),
        }
    }
}
