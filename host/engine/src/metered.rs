//! A task whose processor time is counted for a job. Knows no task.

use crate::apart::Apart;
use std::pin::Pin;
use std::task::{Context, Poll};
use weir_connect::CpuTime;

/// A future that is measured whenever it is polled.
pub(crate) struct Metered<F> {
    cpu: CpuTime,
    work: Pin<Box<F>>,
    apart: Option<Apart>,
}

impl<F: Future> Metered<F> {
    pub(crate) fn new(cpu: &CpuTime, work: F) -> Self {
        Metered { cpu: cpu.clone(), work: Box::pin(work), apart: None }
    }

    /// One that is polled apart from others.
    pub(crate) fn apart(self, apart: Option<Apart>) -> Self {
        Metered { apart, ..self }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Metered { cpu, work, apart } = &mut *self;
        let mut step = || cpu.measure(|| work.as_mut().poll(context));
        match apart {
            Some(apart) => apart.run(step),
            None => step(),
        }
    }
}
