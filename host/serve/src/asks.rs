//! What a lookup of many entities asks for: the body, within bounds.
//!
//! Must not know any job.

use crate::problem::{Kind, Problem};
use crate::request::of_json;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

/// Features, and jobs for all of theirs: far more than any model takes.
const MAX_FEATURES: usize = 10_000;
/// A lookup takes some 10 us: so many of one job take a tenth of a second.
const MAX_ENTITIES: usize = 10_000;

/// An entity has a value for each column of a key, a time, and fields of a request: fewer than these, with what is in lists
/// and objects.
const MAX_VALUES: usize = 64;
/// What a request brings for all entities may be a vector of some model.
const MAX_REQUEST_VALUES: usize = 4096;
/// What a value takes in memory beside the bytes that it is written with: a member of an object, with its name's head.
const VALUE_BYTES: usize = 128;

/// The body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    features: AtMost<String, MAX_FEATURES>,
    entities: AtMost<Small<MAX_VALUES>, MAX_ENTITIES>,
    #[serde(default)]
    as_of: Option<Small<MAX_VALUES>>,
    #[serde(default)]
    request: Option<Small<MAX_REQUEST_VALUES>>,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Asks {
    pub(crate) features: Vec<String>,
    pub(crate) entities: Vec<Value>,
    pub(crate) as_of: Option<Value>,
    /// What derived features are computed of, for entities that do not bring it themselves.
    pub(crate) request: Option<Value>,
}

impl Asks {
    pub(crate) fn read(body: &[u8]) -> Result<Asks, Problem> {
        let Body { features, entities, as_of, request } =
            of_json(body, r#"{"features": ["job:feature"], "entities": [{"user_id": "u1"}]}"#)?;
        let (features, entities) = (features.all("features")?, entities.all("entities")?);
        let entities = entities.into_iter().map(|Small(entity)| entity).collect();
        let (as_of, request) = (as_of.map(|Small(time)| time), request.map(|Small(request)| request));
        Ok(Asks { features, entities, as_of, request })
    }

    /// How much memory what is read of a body takes at the most.
    pub(crate) fn most_bytes(body: &[u8]) -> usize {
        // One of these stands before each value, and before each name of a member.
        let values = body.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
        body.len() + values.min(MAX_FEATURES + MAX_ENTITIES * MAX_VALUES + MAX_REQUEST_VALUES) * VALUE_BYTES
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

/// A value of few parts: JSON takes a multiple of its bytes in memory, and what is not an entity can be anything.
#[derive(Debug)]
struct Small<const MOST: usize>(Value);

impl<'de, const MOST: usize> Deserialize<'de> for Small<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(MOST);
        Part { left: &left, most: MOST }.deserialize(deserializer).map(Small)
    }
}

/// Part of a value, of which so many more may come.
#[derive(Clone, Copy)]
struct Part<'l> {
    left: &'l Cell<usize>,
    /// As many as the whole value may have.
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            let message = format!("an entity, a time or a request of more than {} values", self.most);
            return Err(serde::de::Error::custom(message));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            members.insert(name, object.next_value_seed(self)?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entity_of_many_values_is_refused_before_it_takes_memory() {
        let read = |entity: &str| {
            let body = format!(
                r#"{{"features": ["j"], "entities": [{{}}, {entity}], "as_of": null, "request": null}}"#
            );
            Asks::read(body.as_bytes())
        };
        let of_all_kinds = r#"{"a": [1, -2, 0.5, true, null, "é\n", {"b": {}}], "c": 18446744073709551615}"#;
        let asks = read(of_all_kinds).unwrap();
        assert_eq!(asks.entities[1], serde_json::from_str::<Value>(of_all_kinds).unwrap());
        assert!(asks.as_of.is_none() && asks.request.is_none());
        let with_request = |request: &str| {
            Asks::read(format!(r#"{{"features": [], "entities": [], "request": {request}}}"#).as_bytes())
        };
        assert_eq!(with_request(r#"{"a": 1}"#).unwrap().request, Some(json!({"a": 1})));
        let list = |items: usize| format!("[{}]", vec!["0"; items].join(","));
        assert!(read(&list(MAX_VALUES - 1)).is_ok());
        for refused in [list(MAX_VALUES), list(1 << 20), "[".repeat(100) + &"]".repeat(100)] {
            let problem = read(&refused).unwrap_err();
            assert!(problem.detail().contains("more than 64 values"), "{}", problem.detail());
        }
        assert!(with_request(&list(MAX_REQUEST_VALUES - 1)).is_ok());
        assert!(
            with_request(&list(MAX_REQUEST_VALUES)).unwrap_err().detail().contains("more than 4096 values")
        );
    }

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
