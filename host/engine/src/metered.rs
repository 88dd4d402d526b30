//! A task whose processor time is counted for a job. Knows no task.

use std::pin::Pin;
use std::task::{Context, Poll};
use weir_connect::CpuTime;

/// A future that is measured whenever it is polled.
pub(crate) struct Metered<F> {
    cpu: CpuTime,
    work: Pin<Box<F>>,
}

impl<F: Future> Metered<F> {
    pub(crate) fn new(cpu: &CpuTime, work: F) -> Self {
        Metered { cpu: cpu.clone(), work: Box::pin(work) }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Metered { cpu, work } = &mut *self;
        cpu.measure(|| work.as_mut().poll(context))
    }
}
