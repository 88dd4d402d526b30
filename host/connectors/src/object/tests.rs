//! Paths of object stores, and what is said of their errors, without any store.

use super::*;
use object_store::Error;
use weir_event::Fault;

fn place(path: &str) -> Result<ObjectPlace, (&'static str, String)> {
    ObjectPlace::parse(path, BTreeMap::new())
}

#[test]
fn paths_are_read_and_faulty_ones_named() {
    let read = place("s3://bucket/a/b/").unwrap();
    assert_eq!((read.to_string().as_str(), read.prefix()), ("s3://bucket/a/b", "a/b"));
    assert_eq!(read.path("dt=1/x%2F.parquet").to_string(), "a/b/dt=1/x%2F.parquet");
    assert_eq!(place("gs://bucket").unwrap().path("x").to_string(), "x");
    for (path, key, part) in [
        ("s4://bucket/x", "path", "s3://bucket"),
        ("s3:///x", "path", "names no bucket"),
        ("s3://AKIA:secret@bucket/x", "path", "holds credentials"),
        ("s3://bucket/a//b", "path", "cannot be in an object store"),
    ] {
        let (at, said) = place(path).unwrap_err();
        assert!(at == key && said.contains(part) && !said.contains("secret"), "{path}: {at}: {said}");
    }
    let options = BTreeMap::from([("aws_regoin".to_owned(), "x".to_owned())]);
    assert_eq!(ObjectPlace::parse("s3://b/x", options).unwrap_err().0, "options");
}

#[test]
fn secrets_are_not_shown() {
    let options = BTreeMap::from([("aws_secret_access_key".to_owned(), "hush".to_owned())]);
    let place = ObjectPlace::parse("s3://b/x", options).unwrap();
    assert!(!format!("{place:?} {place}").contains("hush"));
}

#[test]
fn an_answer_says_whose_fault_it_is_and_nothing_of_its_text() {
    let answer = |code: &str| Error::Generic {
        store: "S3",
        source: format!("status code: 403: <Error><Code>{code}</Code><AWSAccessKeyId>AKIA7</AWSAccessKeyId>")
            .into(),
    };
    let doing = Doing { what: "write", place: "s3://b/x" };
    for (code, fault, retry, part) in [
        ("NoSuchBucket", Fault::External, false, "does not exist"),
        ("SignatureDoesNotMatch", Fault::External, false, "credentials"),
        ("AccessDenied", Fault::External, false, "permit"),
        ("RequestTimeTooSkewed", Fault::External, true, "clock"),
        ("SlowDown", Fault::External, true, "fewer requests"),
        ("InternalError", Fault::External, true, "(InternalError)"),
    ] {
        let said = failed(&answer(code), &doing);
        assert_eq!((said.fault, said.retry), (fault, retry), "{said}");
        assert!(said.message.contains(part) && !said.message.contains("AKIA7"), "{said}");
        assert!(said.message.starts_with("cannot write `s3://b/x`: "), "{said}");
    }
}
