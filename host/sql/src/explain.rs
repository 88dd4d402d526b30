//! A plan as text: what a job reads, keeps and gives.
//!
//! Knows plans. Must not know SQL text.

use crate::expressions::{shown_type, type_name};
use std::fmt::{self, Write};
use weir_event::Span;
use weir_event::schema::TAKEN_BACK;
use weir_plan::{
    ColumnRole, DerivedFeature, JobPlan, KeyedStage, PluginVersion, Transform, UsedVersion, plugin_calls,
};
use weir_timeline::{AggregateSpec, Bounds, Card, Cumulate, Exclude, Frames, OverFrame, ProcessSpec};

/// A plan for people: source columns, filter, keys, windows, aggregates with their algebra, result columns with
/// their roles, and features with their types.
pub fn explain(plan: &JobPlan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_plan(&mut text, plan);
    text
}

fn write_plan(text: &mut String, plan: &JobPlan) -> fmt::Result {
    writeln!(text, "job {} version {}", plan.name, plan.version)?;
    writeln!(text, "  definition  {}", plan.definition)?;
    for UsedVersion { of, makes_state, is_pinned } in &plan.versions {
        let why = match (is_pinned, makes_state) {
            (true, _) => ", which it pins",
            (false, true) => ", which makes its state",
            (false, false) => "",
        };
        let PluginVersion { plugin, version, component } = of;
        writeln!(text, "calls version {version} of plugin {plugin}{why}  sha256:{component}")?;
    }
    for input in &plan.inputs {
        write!(text, "reads {} from {}", input.stream.name, input.origin.kind)?;
        match input.stream.format.decoding_plugin() {
            Some(plugin) => {
                let component = plan.decoders.get(plugin).map_or("", String::as_str);
                writeln!(text, ", decoded by plugin {plugin}@sha256:{component}")?;
            }
            None => writeln!(text)?,
        }
        for (position, column) in input.columns.iter().enumerate() {
            let Some(field) = input.stream.schema.fields.get(*column) else { continue };
            if field.name == TAKEN_BACK {
                writeln!(text, "  rows that are updated or deleted are taken back")?;
                continue;
            }
            let mark = if position == input.event_time {
                "  event time"
            } else if input.known_time == Some(position) {
                "  known time"
            } else {
                ""
            };
            writeln!(text, "  {} {}{mark}", field.name, field.data_type)?;
        }
        if let Some(unnest) = &input.unnest {
            writeln!(text, "makes a row of each item of\n  {}", unnest.list.canonical())?;
        }
        let filters =
            [input.projection.filter.as_ref(), input.unnest.as_ref().and_then(|it| it.filter.as_ref())];
        for filter in filters.into_iter().flatten() {
            writeln!(text, "keeps rows where\n  {}", filter.canonical())?;
        }
    }
    match &plan.stage {
        Some(stage) => write_stage(text, plan, stage)?,
        None => writeln!(text, "computes each row alone")?,
    }
    if let Some(filter) = &plan.output.filter {
        writeln!(text, "keeps results where\n  {}", filter.canonical())?;
    }
    write_results(text, plan)
}

fn write_stage(text: &mut String, plan: &JobPlan, stage: &KeyedStage) -> fmt::Result {
    if stage.keys.is_empty() {
        writeln!(text, "has no key: one group for all rows")?;
    } else {
        writeln!(text, "by key")?;
        for (name, data_type) in stage.key_names.iter().zip(&stage.key_types) {
            writeln!(text, "  {name} {}", type_name(data_type))?;
        }
    }
    write_frames(text, &stage.spec.frames, plan.looks_ahead)?;
    if let Some(step) = stage.spec.tail {
        writeln!(text, "  a frame begins at a multiple of {step}, so it may hold rows up to {step} older")?;
    }
    if let Some(process) = &stage.spec.process {
        writeln!(text, "logic\n  {}", describe_logic(plan, process))?;
        return writeln!(text, "  state {}", plan.state_fingerprint);
    }
    writeln!(text, "aggregates")?;
    for (index, aggregate) in stage.spec.aggregates.iter().enumerate() {
        writeln!(text, "  {index}: {}", describe(plan, stage, aggregate))?;
    }
    writeln!(text, "  state {}", plan.state_fingerprint)
}

fn write_frames(text: &mut String, frames: &Frames, ahead: Option<Span>) -> fmt::Result {
    match frames {
        Frames::Grid(grid) => {
            writeln!(text, "in windows of {} every {}, offset {}", grid.size, grid.slide, grid.offset)
        }
        Frames::Cumulate(windows) => {
            let Cumulate { size, step, offset } = windows;
            writeln!(text, "in windows that grow by {step} up to {size}, offset {offset}")
        }
        Frames::Table(table) => {
            writeln!(text, "in windows of the calendar, {} of them", table.starts.len().saturating_sub(1))
        }
        Frames::Session(session) => {
            writeln!(text, "in sessions that end after a pause of more than {}", session.gap)
        }
        Frames::Lifetime => writeln!(text, "over all rows with the same key"),
        Frames::Process => writeln!(text, "through keyed logic, each key's rows in order of time"),
        Frames::Over(frames) => {
            writeln!(text, "for each row, over rows with the same key")?;
            for (index, frame) in frames.iter().enumerate() {
                let frame = ahead
                    .map_or_else(|| frame_text(frame), |ahead| format!("from it up to {ahead} after it"));
                writeln!(text, "  frame {index}: {frame}")?;
            }
            ahead.map_or(Ok(()), |_| writeln!(text, "  for training only"))
        }
    }
}

fn frame_text(frame: &OverFrame) -> String {
    let bounds = match frame.bounds {
        Bounds::Range { preceding, until } => {
            let until =
                if until == Span::ZERO { String::new() } else { format!(", until {until} before it") };
            match preceding {
                Some(preceding) => format!("up to {preceding} before it{until}"),
                None => format!("all before it{until}"),
            }
        }
        Bounds::Rows { preceding, until } => {
            let until = if until == 0 { String::new() } else { format!(", until {until} rows before it") };
            match preceding {
                Some(preceding) => format!("up to {preceding} rows before it{until}"),
                None => format!("all rows before it{until}"),
            }
        }
    };
    let excluded = match frame.exclude {
        Exclude::None => "",
        Exclude::CurrentRow => ", without the row itself",
        Exclude::Ties => ", without other rows of its time",
    };
    format!("{bounds}{excluded}")
}

/// A projected column, as each input has it.
fn projected(plan: &JobPlan, column: usize) -> String {
    let of_inputs = plan.inputs.iter().filter_map(|input| input.projection.columns.get(column));
    let mut texts: Vec<&str> = of_inputs.map(|of| of.canonical()).collect();
    texts.dedup();
    texts.join(" or ")
}

fn describe_logic(plan: &JobPlan, process: &ProcessSpec) -> String {
    let card = process.logic.card();
    let arguments: Vec<String> = process.arguments.iter().map(|column| projected(plan, *column)).collect();
    let results = card.results.iter().map(|(name, data_type)| format!("{name} {}", shown_type(data_type)));
    let results = results.collect::<Vec<_>>().join(", ");
    format!("{} of {} -> ({results})", card.identity, arguments.join(", "))
}

fn describe(plan: &JobPlan, stage: &KeyedStage, aggregate: &AggregateSpec) -> String {
    let card = aggregate.function.card();
    let projected = |column: &usize| projected(plan, *column);
    let mut text = card.identity.clone();
    let shown = aggregate.arguments.len() - usize::from(stage.present.is_some());
    if shown > 0 {
        let arguments = aggregate.arguments[..shown].iter().map(projected);
        let _ = write!(text, " of {}", arguments.collect::<Vec<_>>().join(", "));
    }
    if let Some(filter) = &aggregate.filter {
        let _ = write!(text, " where {}", projected(filter));
    }
    if matches!(stage.spec.frames, Frames::Over(_)) {
        let _ = write!(text, " over frame {}", aggregate.frame);
    }
    let _ = write!(text, " -> {}\n     {}", type_name(&card.result), card_text(card));
    text
}

/// What an aggregate's card says.
fn card_text(card: &Card) -> String {
    let memory = if card.bounded { "memory per key bounded" } else { "memory per key grows with its values" };
    let order = if card.is_order_dependent() { "; rows in order of time" } else { "" };
    format!("{}; {memory}{order}; NULLs: {}", card.algebra.name(), card.nulls)
}

fn write_results(text: &mut String, plan: &JobPlan) -> fmt::Result {
    writeln!(text, "gives")?;
    for column in &plan.output.columns {
        let role = match column.role {
            ColumnRole::Key(_) => "key",
            ColumnRole::WindowBound => "window bound",
            ColumnRole::Plain => "plain",
            ColumnRole::Feature => "feature",
        };
        let data_type = shown_type(column.expression.data_type());
        writeln!(text, "  {} {data_type}  {role}", column.name)?;
    }
    if !plan.features.is_empty() {
        writeln!(text, "features")?;
    }
    for feature in &plan.features {
        writeln!(
            text,
            "  {} {} version {}  {}",
            feature.name, feature.data_type, feature.version, feature.definition
        )?;
    }
    write_derived(text, plan)
}

/// What is computed of the features when they are asked for.
fn write_derived(text: &mut String, plan: &JobPlan) -> fmt::Result {
    let Transform { request, features, definition, .. } = &plan.transform;
    if features.is_empty() {
        return Ok(());
    }
    if !request.is_empty() {
        writeln!(text, "takes of a request")?;
    }
    for field in request {
        writeln!(text, "  {} {}", field.name, field.data_type)?;
    }
    writeln!(text, "derives when asked  {definition}")?;
    for feature in features {
        let DerivedFeature { name, data_type, version, definition, .. } = feature;
        writeln!(text, "  {name} {data_type} version {version}  {definition}")?;
        let of: Vec<&str> = plan.inputs_of(feature).collect();
        let of = if of.is_empty() { String::new() } else { format!(" of {}", of.join(", ")) };
        writeln!(text, "    {}{of}", feature.text.split_whitespace().collect::<Vec<_>>().join(" "))?;
        for call in plugin_calls(feature.expression.canonical()) {
            writeln!(text, "    calls {call}")?;
        }
    }
    Ok(())
}
