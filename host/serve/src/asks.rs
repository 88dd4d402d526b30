//! What a lookup of many entities asks for: the body, within bounds.
//!
//! Must not know any job.

use crate::problem::{Kind, Problem};
use crate::request::of_json;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::marker::PhantomData;

/// Features, and jobs for all of theirs: far more than any model takes.
const MAX_FEATURES: usize = 10_000;
/// A lookup takes some 10 us: so many of one job take a tenth of a second.
const MAX_ENTITIES: usize = 10_000;

/// The body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    features: AtMost<String, MAX_FEATURES>,
    entities: AtMost<Value, MAX_ENTITIES>,
    #[serde(default)]
    as_of: Option<Value>,
    #[serde(default)]
    request: Option<Value>,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Asks {
    pub(crate) features: Vec<String>,
    pub(crate) entities: Vec<Value>,
    pub(crate) as_of: Option<Value>,
    pub(crate) request: Option<Value>,
}

impl Asks {
    pub(crate) fn read(body: &[u8]) -> Result<Asks, Problem> {
        let Body { features, entities, as_of, request } =
            of_json(body, r#"{"features": ["job:feature"], "entities": [{"user_id": "u1"}]}"#)?;
        let (features, entities) = (features.all("features")?, entities.all("entities")?);
        Ok(Asks { features, entities, as_of, request })
    }
}

/// A list of which no more is kept than may be in it.
#[derive(Debug)]
struct AtMost<T, const MOST: usize> {
    items: Vec<T>,
    /// Of the list, also of those that were not kept.
    count: usize,
}

impl<T, const MOST: usize> AtMost<T, MOST> {
    /// The whole list, unless it is too long.
    fn all(self, of: &str) -> Result<Vec<T>, Problem> {
        if self.count <= MOST {
            return Ok(self.items);
        }
        let count = self.count;
        let detail =
            format!("`{of}` has {count} items; a lookup takes up to {MOST}: ask in several requests");
        Err(Problem::new(Kind::TooLarge, detail))
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for AtMost<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

struct Items<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Items<T, MOST> {
    type Value = AtMost<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < MOST
            && let Some(item) = list.next_element()?
        {
            items.push(item);
        }
        let mut count = items.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(AtMost { items, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(features: usize, entities: usize) -> Result<Asks, Problem> {
        let body = json!({"features": vec!["j"; features], "entities": vec![json!({}); entities]});
        Asks::read(body.to_string().as_bytes())
    }

    #[test]
    fn so_many_can_be_asked_for_and_no_more() {
        let asks = read(MAX_FEATURES, MAX_ENTITIES).unwrap();
        assert_eq!((asks.features.len(), asks.entities.len()), (MAX_FEATURES, MAX_ENTITIES));
        for (refused, said) in
            [(read(10_001, 0), "`features` has 10001 items"), (read(1, 12_000), "`entities` has 12000 items")]
        {
            let problem = refused.unwrap_err();
            assert_eq!(problem.kind(), Kind::TooLarge);
            assert!(problem.detail().starts_with(said), "{}", problem.detail());
        }
    }

    #[test]
    fn what_does_not_fit_is_said_in_few_words_however_long_it_is() {
        let long = "x".repeat(1 << 20);
        for body in [
            json!({"features": [], "entities": [], long.clone(): 1}),
            json!({"features": long, "entities": []}),
            json!({"features": [], "entities": {long: 1}}),
        ] {
            let problem = Asks::read(body.to_string().as_bytes()).unwrap_err();
            assert!(problem.detail().len() < 600, "{} bytes", problem.detail().len());
            assert!(problem.detail().contains("line 1 column"), "{}", problem.detail());
        }
    }
}
