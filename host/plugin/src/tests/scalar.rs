//! A scalar guest that misbehaves on some arguments, called as the engine calls it.

use super::{SCALAR, account, component, host, limits};
use crate::account::Account;
use crate::failure::{Cause, Failure};
use crate::guest::Guest;
use crate::plugin::Plugin;
use crate::scalar::{PluginScalar, ScalarWorld};
use crate::{Allowed, BreakerStatus, CompileWith, Limits, PluginHost};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array};
use std::sync::Arc;
use std::time::Duration;
use weir_event::{EventTime, ManualClock};
use weir_plan::{ExpressionError, ScalarFunction};

fn plugin() -> Arc<Plugin> {
    host().admit("guest", &component("scalar", SCALAR)).unwrap()
}

fn function() -> PluginScalar {
    let plugin = plugin();
    PluginScalar::new(&ScalarWorld, &account(&plugin), &plugin.functions()[0])
}

fn call(function: &PluginScalar, values: &[f64]) -> Result<Vec<f64>, ExpressionError> {
    let argument: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    let answer = function.call(&[argument], values.len())?;
    assert_eq!(answer.len(), values.len());
    Ok(answer.as_primitive::<Float64Type>().values().to_vec())
}

#[test]
fn a_good_function_is_described_and_called() {
    let plugin = plugin();
    assert_eq!(plugin.exports(), ["scalar f(x double) -> double"]);
    let function = function();
    assert_eq!(function.identity(), format!("f@sha256:{}", plugin.sha256()));
    assert_eq!(call(&function, &[]), Ok(vec![]));
    let values: Vec<f64> = (0..20_000).map(f64::from).collect();
    let expected: Vec<f64> = values.iter().map(|value| value + 1.0).collect();
    assert_eq!(call(&function, &values), Ok(expected));
    let nulls: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(1.0)]));
    let answer = function.call(&[nulls], 2).unwrap();
    assert!(answer.is_null(0) && answer.as_primitive::<Float64Type>().value(1) == 2.0);
}

#[test]
fn a_batch_fails_with_the_reason_of_the_row_that_fails_alone() {
    let function = function();
    for (bad, reason) in [
        (-1.0, "plugin `guest`, call of `f`: trapped: wasm `unreachable` instruction executed"),
        (
            -2.0,
            "plugin `guest`, call of `f`: used up its budget of 20000000 units of fuel; it may loop for ever",
        ),
        (-3.0, "plugin `guest`, call of `f`: no such place"),
        (-4.0, "plugin `guest`, call of `f`: asked for "),
    ] {
        for place in [0, 250, 299] {
            let mut values = vec![1.0; 300];
            values[place] = bad;
            match call(&function, &values) {
                Err(ExpressionError::Rows(message)) => assert!(message.starts_with(reason), "{message}"),
                other => panic!("{bad} at {place}: {other:?}"),
            }
            values[place] = 0.0;
            assert_eq!(call(&function, &values).map(|values| values[place]), Ok(1.0));
        }
    }
}

#[test]
fn rows_that_are_dear_are_called_in_smaller_batches() {
    let function = function();
    assert_eq!(call(&function, &vec![-7.0; 2000]), Ok(vec![-6.0; 2000]));
    let tiny = Limits { fuel_per_call: 150_000, ..limits() };
    let folder = tempfile::tempdir().unwrap();
    let host = PluginHost::new(folder.path(), tiny, CompileWith::InProcess, Arc::new(ManualClock::default()));
    let plugin = host.admit("guest", &component("scalar", SCALAR)).unwrap();
    let function = PluginScalar::new(&ScalarWorld, &account(&plugin), &plugin.functions()[0]);
    assert_eq!(call(&function, &[-7.0; 40]), Ok(vec![-6.0; 40]), "one row or two fit into a call");
}

#[test]
fn each_call_of_an_instance_has_a_whole_budget() {
    let plugin = plugin();
    let account = account(&plugin);
    let function = PluginScalar::new(&ScalarWorld, &account, &plugin.functions()[0]);
    let dear: ArrayRef = Arc::new(Float64Array::from(vec![-7.0; 64]));
    let budget = limits().fuel_per_call;
    let used: Vec<u64> = account
        .pool
        .run(|guest| {
            let call =
                |guest: &mut Guest| Ok(function.invoke(guest, std::slice::from_ref(&dear), dear.len())?.1);
            let first = call(guest)?;
            assert!((1..budget / 2).contains(&first), "{first} of {budget}");
            // So many that they have no room in one budget.
            (0..2 * budget / first).map(|_| call(guest)).collect()
        })
        .unwrap();
    assert!(used.iter().sum::<u64>() > budget && used.iter().all(|fuel| *fuel == used[0]), "{used:?}");
}

/// Whether a job's next call is made in an instance that was called before.
fn is_used_again(account: &Account) -> bool {
    !account.pool.run(|guest| Ok(guest.is_fresh())).unwrap()
}

#[test]
fn an_instance_whose_call_failed_is_not_used_again() {
    let plugin = plugin();
    let account = account(&plugin);
    let function = PluginScalar::new(&ScalarWorld, &account, &plugin.functions()[0]);
    account.barrier();
    assert_eq!(call(&function, &[1.0]), Ok(vec![2.0]));
    assert!(is_used_again(&account));
    let failed = account.pool.run(|_| Err::<(), Failure>(Failure::new(Cause::Trap, "trapped")));
    assert!(failed.is_err() && !is_used_again(&account));
}

#[test]
fn a_plugin_may_have_bounds_of_its_own() {
    let guest = component("scalar", SCALAR);
    let admitted = |fuel_per_call| {
        let folder = tempfile::tempdir().unwrap();
        let little = Allowed { fuel_per_call, ..limits().of("guest") };
        let limits = Limits { of_plugins: [("little".to_owned(), little)].into(), instances: 4, ..limits() };
        let clock = Arc::new(ManualClock::default());
        let host = PluginHost::new(folder.path(), limits, CompileWith::InProcess, clock);
        ["other", "little"]
            .map(|name| host.admit(name, &guest).map(|_| ()).map_err(|error| error.to_string()))
    };
    assert_eq!(admitted(20_000_000), [Ok(()), Ok(())]);
    let [other, little] = admitted(1);
    assert_eq!(other, Ok(()));
    assert!(little.unwrap_err().contains("used up its budget of 1 units of fuel"));
}

#[test]
fn an_instance_that_holds_much_of_its_memory_is_not_used_again() {
    let plugin = plugin();
    let account = account(&plugin);
    let function = PluginScalar::new(&ScalarWorld, &account, &plugin.functions()[0]);
    assert_eq!(call(&function, &[1.0]), Ok(vec![2.0]));
    let held = account.pool.run(|guest| Ok(guest.memory_bytes())).unwrap();
    for (memory_bytes, is_small) in [(held * 2, true), (held + held / 4, false)] {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { memory_bytes, instances: 4, ..limits() };
        let host =
            PluginHost::new(folder.path(), limits, CompileWith::InProcess, Arc::new(ManualClock::default()));
        let plugin = host.admit("guest", &component("scalar", SCALAR)).unwrap();
        let account = Arc::new(Account::new(&plugin, "job"));
        let function = PluginScalar::new(&ScalarWorld, &account, &plugin.functions()[0]);
        account.barrier();
        assert_eq!(call(&function, &[1.0]), Ok(vec![2.0]));
        assert_eq!(is_used_again(&account), is_small, "{held} of {memory_bytes}");
    }
}

#[test]
fn what_an_instance_remembers_ends_at_a_barrier() {
    let plugin = plugin();
    let account = account(&plugin);
    let function = PluginScalar::new(&ScalarWorld, &account, &plugin.functions()[0]);
    account.barrier();
    assert_eq!(call(&function, &[-5.0]), Ok(vec![2.0]));
    assert_eq!(call(&function, &[-5.0]), Ok(vec![3.0]));
    account.barrier();
    assert_eq!(call(&function, &[-5.0]), Ok(vec![2.0]));
    // Also for an instance that is in use at the barrier.
    let meanwhile = |_: &mut Guest| {
        account.barrier();
        Ok(())
    };
    account.pool.run(meanwhile).unwrap();
    assert_eq!(call(&function, &[-5.0]), Ok(vec![2.0]));
}

#[test]
fn what_an_instance_remembers_decides_no_verdict() {
    let function = function();
    assert_eq!(call(&function, &[1.0]), Ok(vec![2.0]));
    // Fails in the instance that has seen a call, and is tried again in a fresh one.
    assert_eq!(call(&function, &[-6.0]), Ok(vec![-5.0]));
}

#[test]
fn a_job_whose_rows_all_trap_is_stopped_alone_and_tried_again_after_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(EventTime::from_millis(0)));
    let host = PluginHost::new(folder.path(), limits(), CompileWith::InProcess, clock.clone());
    let plugin = host.admit("guest", &component("scalar", SCALAR)).unwrap();
    let of_job = |job: &str| {
        let account = Arc::new(Account::new(&plugin, job));
        (PluginScalar::new(&ScalarWorld, &account, &plugin.functions()[0]), account)
    };
    let ((bad, its_account), (good, other_account)) = (of_job("bad"), of_job("good"));
    for _ in 0..100 {
        assert!(matches!(call(&bad, &[-1.0]), Err(ExpressionError::Rows(_))));
        assert_eq!(call(&good, &[1.0]), Ok(vec![2.0]));
    }
    let refused = |wanted: &str| match call(&bad, &[1.0]) {
        Err(ExpressionError::Broken(reason)) => assert!(reason.contains(wanted), "{reason}"),
        other => panic!("{other:?}"),
    };
    refused("stopped after 100 bad rows");
    assert_eq!(call(&good, &[1.0]), Ok(vec![2.0]));
    let (stopped, other) = (its_account.shown(1), other_account.shown(1));
    assert_eq!((stopped.breaker, other.breaker), (BreakerStatus::Open, BreakerStatus::Closed));
    assert!(stopped.traps >= 100 && stopped.reason.is_some(), "{stopped:?}");
    assert!(other.traps == 0 && other.calls == 101 && other.fuel > 0, "{other:?}");

    clock.advance(Duration::from_secs(10));
    assert!(matches!(call(&bad, &[-1.0]), Err(ExpressionError::Rows(_))));
    refused("stopped again by the first row");
    clock.advance(Duration::from_secs(10));
    assert_eq!(call(&bad, &[1.0]), Ok(vec![2.0]));
    assert_eq!(its_account.shown(1).breaker, BreakerStatus::Closed);
}

#[test]
fn errors_of_its_own_never_stop_it() {
    let function = function();
    for _ in 0..300 {
        assert!(matches!(call(&function, &[-3.0]), Err(ExpressionError::Rows(_))));
    }
    assert_eq!(call(&function, &[1.0]), Ok(vec![2.0]));
}

#[test]
fn no_place_for_an_instance_is_not_the_rows_fault() {
    let folder = tempfile::tempdir().unwrap();
    let one = Limits { instances: 1, ..limits() };
    let host = PluginHost::new(folder.path(), one, CompileWith::InProcess, Arc::new(ManualClock::default()));
    let plugin = host.admit("guest", &component("scalar", SCALAR)).unwrap();
    let account = account(&plugin);
    let function = PluginScalar::new(&ScalarWorld, &account, &plugin.functions()[0]);
    account.barrier();
    let answer = account.pool.run(|_| Ok(call(&function, &[1.0]))).unwrap();
    assert!(
        matches!(&answer, Err(ExpressionError::Broken(reason)) if reason.contains("all 1 places")),
        "{answer:?}"
    );
    assert_eq!(call(&function, &[1.0]), Ok(vec![2.0]));
}

#[test]
fn wrong_arguments_are_refused_not_lowered() {
    let function = function();
    let texts: ArrayRef = Arc::new(arrow_array::StringViewArray::from(vec!["1"]));
    for arguments in [vec![texts], vec![]] {
        assert!(matches!(function.call(&arguments, 1), Err(ExpressionError::Rows(_))));
    }
}
