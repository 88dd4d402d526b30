//! Features: which result columns are served, under which names and types.
//!
//! Knows a job's declarations. Must not know how a column is computed.

use crate::expressions::Bound;
use crate::planner::ResultColumnPlan;
use crate::report::Report;
use weir_event::DataType;
use weir_event::suggestion::nearest;
use weir_plan::definition::FeatureDefinition;
use weir_plan::{ColumnRole, Diagnostic, Feature, JobDefinition, fits};

/// The features of a job, without their hashes. A declared type narrows its column; what does not fit is in the
/// report.
pub(crate) fn features(
    job: &JobDefinition,
    columns: &mut [ResultColumnPlan],
    report: &mut Report<'_>,
) -> Vec<Feature> {
    let declared = declarations(job, columns, report);
    let mut features = Vec::new();
    for (index, column) in
        columns.iter_mut().enumerate().filter(|(_, column)| column.role == ColumnRole::Feature)
    {
        let declaration = declared.iter().find(|(of, _)| *of == index).map(|(_, declaration)| *declaration);
        let Some(inferred) = DataType::from_arrow(&column.bound.data_type) else { continue };
        let data_type =
            match declaration.and_then(|declaration| Some((declaration, declaration.data_type.clone()?))) {
                Some((declaration, wanted)) => {
                    let of_query = (column.name.as_str(), "query");
                    if let Err(message) = declare(of_query, &mut column.bound, &inferred, &wanted) {
                        report.add(error(job, declaration, message));
                    }
                    wanted
                }
                None => inferred,
            };
        if let Some(declaration) = declaration
            && let Some(message) = declared_default(declaration, &data_type)
        {
            report.add(error(job, declaration, message));
        }
        features.push(Feature {
            name: declaration.map_or_else(|| column.name.clone(), |declaration| declaration.name.clone()),
            column: index,
            data_type,
            version: declaration.and_then(|declaration| declaration.version).unwrap_or(job.version),
            definition: String::new(),
            description: declaration.and_then(|declaration| declaration.description.clone()),
            owner: declaration.and_then(|declaration| declaration.owner.clone()),
            default: declaration.and_then(|declaration| declaration.default.clone()),
        });
    }
    features
}

/// Which result column each declaration is about.
fn declarations<'j>(
    job: &'j JobDefinition,
    columns: &[ResultColumnPlan],
    report: &mut Report<'_>,
) -> Vec<(usize, &'j FeatureDefinition)> {
    let values: Vec<usize> =
        (0..columns.len()).filter(|index| columns[*index].role == ColumnRole::Feature).collect();
    // What is said of a derived feature is for whoever plans that.
    let is_derived = |declaration: &&FeatureDefinition| {
        job.transform.iter().any(|derived| derived.name == declaration.name)
    };
    let stored: Vec<&FeatureDefinition> =
        job.features.iter().filter(|declaration| !is_derived(declaration)).collect();
    if let ([declaration], [only]) = (stored.as_slice(), values.as_slice()) {
        return vec![(*only, *declaration)];
    }
    let mut found = Vec::new();
    for declaration in stored {
        match columns.iter().position(|column| column.name == declaration.name) {
            Some(index) if columns[index].role == ColumnRole::Feature => found.push((index, declaration)),
            Some(index) => {
                let what = match columns[index].role {
                    ColumnRole::Key(_) => "a column of the entity's key",
                    ColumnRole::WindowBound => "a bound of the window",
                    _ => "a plain column of the row",
                };
                let message =
                    format!("`{}` is {what}, not a feature; leave it out of features", declaration.name);
                report.add(error(job, declaration, message));
            }
            None => {
                let derived = || job.transform.iter().map(|derived| derived.name.as_str());
                let names = || values.iter().map(|index| columns[*index].name.as_str()).chain(derived());
                let instead = match nearest(&declaration.name, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if values.is_empty() => "the query has no features".to_owned(),
                    None => format!("its features are {}", names().collect::<Vec<_>>().join(", ")),
                };
                let message = format!("the query has no column `{}`; {instead}", declaration.name);
                report.add(error(job, declaration, message));
            }
        }
    }
    found
}

/// What is wrong with a declared default.
pub(crate) fn declared_default(declaration: &FeatureDefinition, data_type: &DataType) -> Option<String> {
    let default = declaration.default.as_ref().filter(|default| !fits(default, data_type))?;
    Some(format!("the default {default} of `{}` is not a value of type {data_type}", declaration.name))
}

/// Gives a feature of this name its declared type; what makes it is a query or an expression.
pub(crate) fn declare(
    (name, maker): (&str, &str),
    bound: &mut Bound,
    inferred: &DataType,
    wanted: &DataType,
) -> Result<(), String> {
    use DataType::{Bigint, Decimal, Double, Float, Int, Json, String};
    match (inferred, wanted) {
        _ if inferred == wanted => Ok(()),
        // Fewer digits before the point are narrowed with a check, as an int is; none after it may go.
        (Decimal(from), Decimal(to)) if to.scale() < from.scale() => Err(format!(
            "`{name}` is declared {wanted}, the {maker} makes a {inferred} of it; declare {} digits after the point, or write \
             ROUND(.., {}) or a CAST in the {maker}",
            from.scale(),
            to.scale()
        )),
        (Bigint, Int)
        | (Int, Bigint | Double)
        | (Float, Double)
        | (Bigint | Int | Decimal(_), Decimal(_))
        | (String, Json)
        | (Json, String) => {
            *bound = bound.clone().cast(&wanted.to_arrow());
            Ok(())
        }
        _ => Err(format!(
            "`{name}` is declared {wanted}, the {maker} makes a {inferred} of it; declare that, or write a CAST in the {maker}"
        )),
    }
}

fn error(job: &JobDefinition, declaration: &FeatureDefinition, message: String) -> Diagnostic {
    let (line, column) = declaration.place;
    Diagnostic::error(&job.file, line, column, message)
}
