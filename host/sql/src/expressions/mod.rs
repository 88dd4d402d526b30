//! Scalar expressions: from the parser's tree to something that computes a column.
//!
//! Only this folder knows DataFusion, of which weir uses the expression library and nothing else. A [`Scope`] is
//! the columns that an expression may name; [`Scope::bind`] gives it types, [`Scope::compile`] makes it run.
//! Must not know windows, aggregates, or which stage an expression belongs to.

mod arithmetic;
mod bounded;
mod called;
mod canonical;
mod division;
mod docs;
mod errors;
mod exact;
mod finite;
mod functions;
mod guarded;
mod json;
mod kinds;
mod library;
mod moments;
mod plugin;
mod trial;
mod zeros;

#[cfg(test)]
mod edges;

pub(crate) use canonical::{shown_type, type_name};
pub use docs::{FunctionDoc, function_docs};
pub(crate) use functions::{JsonPath, Unit, part_named};
pub(crate) use library::{Found, Functions, is_of_library};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Fields};
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Cast, Expr, ExprSchemable};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use errors::{evaluation_error, planning_error};
use guarded::guarded;
use sqlparser::ast::Expr as SqlExpr;
use std::collections::HashMap;
use std::sync::Arc;
use weir_plan::{Expression, ExpressionError};

/// A column that expressions of a scope may name.
#[derive(Debug, Clone)]
pub(crate) struct ScopeColumn {
    /// Its name, unique in its scope.
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// What makes its values, as canonical text.
    pub(crate) canonical: String,
}

/// The columns that an expression may name, by position, and the functions it may call.
pub(crate) struct Scope<'a> {
    functions: &'a Functions<'a>,
    columns: Vec<ScopeColumn>,
    canonical: HashMap<String, String>,
    schema: DFSchemaRef,
}

/// An expression whose columns, functions and types are known.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    expression: Expr,
    /// Type of its values.
    pub(crate) data_type: DataType,
    /// The same text for the same meaning.
    pub(crate) canonical: String,
    /// Whether the text in its values is JSON.
    is_json: bool,
}

impl Bound {
    /// The name of the column that it is, if it is nothing else.
    pub(crate) fn column(&self) -> Option<&str> {
        match &self.expression {
            Expr::Column(column) => Some(&column.name),
            _ => None,
        }
    }

    /// Names of the columns that it reads.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.expression.column_refs().into_iter().map(|column| column.name.clone()).collect()
    }

    /// Whether it has a value.
    pub(crate) fn not_null(self) -> Bound {
        Bound {
            canonical: format!("is-not-null({})", self.canonical),
            expression: Expr::IsNotNull(Box::new(self.expression)),
            data_type: DataType::Boolean,
            is_json: false,
        }
    }

    /// Whether both conditions are true.
    pub(crate) fn and(self, other: Bound) -> Bound {
        Bound {
            canonical: format!("AND({}, {})", self.canonical, other.canonical),
            expression: self.expression.and(other.expression),
            data_type: DataType::Boolean,
            is_json: false,
        }
    }

    /// The same values as another type; a value that does not fit fails its row.
    pub(crate) fn cast(self, data_type: &DataType) -> Bound {
        if self.data_type == *data_type {
            return self;
        }
        Bound {
            expression: Expr::Cast(Cast::new(Box::new(self.expression), data_type.clone())),
            canonical: format!("cast-{}({})", type_name(data_type), self.canonical),
            data_type: data_type.clone(),
            is_json: self.is_json,
        }
    }

    /// The same values in the one Arrow type that columns of its kind have in weir (text as views, times in
    /// milliseconds). A plain column stays what it is. The error names a type that no column can have.
    pub(crate) fn normalised(self) -> Result<Bound, String> {
        if self.column().is_some() {
            return Ok(self);
        }
        let known = weir_event::DataType::from_arrow(&self.data_type)
            .ok_or_else(|| errors::not_a_column(&self.data_type))?;
        let known = if self.is_json { known } else { known.without_json() };
        Ok(self.cast(&known.to_arrow()))
    }
}

impl<'a> Scope<'a> {
    /// A scope of these columns, whose names differ.
    pub(crate) fn new(functions: &'a Functions<'a>, columns: Vec<ScopeColumn>) -> Result<Self, String> {
        let fields: Fields =
            columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true)).collect();
        let schema = DFSchema::from_unqualified_fields(fields, HashMap::new())
            .map_err(|error| planning_error(&error))?;
        let canonical =
            columns.iter().map(|column| (column.name.clone(), column.canonical.clone())).collect();
        Ok(Scope { functions, columns, canonical, schema: Arc::new(schema) })
    }

    /// The scope of some of its columns, in that order.
    pub(crate) fn of(&self, columns: &[usize]) -> Result<Scope<'a>, String> {
        Scope::new(self.functions, columns.iter().map(|column| self.columns[*column].clone()).collect())
    }

    /// Gives an expression types. Every name in it must have been checked; the error says what does not fit.
    pub(crate) fn bind(&self, expression: SqlExpr) -> Result<Bound, String> {
        // Constants are computed here.
        guarded(|| self.bind_unguarded(expression)).flatten()
    }

    fn bind_unguarded(&self, expression: SqlExpr) -> Result<Bound, String> {
        let options = ParserOptions::new()
            .with_enable_ident_normalization(false)
            .with_support_varchar_with_length(true);
        let planner = SqlToRel::new_with_options(self.functions, options);
        let expression = planner
            .sql_to_expr(expression, &self.schema, &mut PlannerContext::new())
            .map_err(|error| planning_error(&error))?;
        let expression =
            functions::read_clocks(expression, &self.schema).map_err(|error| planning_error(&error))?;
        kinds::refuse_text_as_number(&expression, &self.schema)?;
        let expression = exact::constants_beside_decimals(expression, &self.schema)
            .map_err(|error| planning_error(&error))?;
        let context = SimplifyContext::builder().with_schema(self.schema.clone()).build();
        let simplifier = ExprSimplifier::new(context);
        let coerced = simplifier.coerce(expression, &self.schema).map_err(|error| planning_error(&error))?;
        let coerced =
            functions::keep_instants(coerced, &self.schema).map_err(|error| planning_error(&error))?;
        let coerced = arithmetic::fold_whole_numbers(coerced.unalias_nested().data, &self.schema)?;
        trial::refuse_constants_over_zero(&coerced, &self.schema, &simplifier)?;
        let canonical = canonical::canonical(&coerced, &self.canonical)?;
        let is_json = json::is_json(&coerced, &self.schema).map_err(|error| planning_error(&error))?;
        let coerced = bounded::bounded(coerced).map_err(|error| planning_error(&error))?;
        let expression = simplifier.simplify(coerced).map_err(|error| planning_error(&error))?;
        trial::refuse_what_always_fails(&expression, &self.schema)?;
        let data_type = expression.get_type(self.schema.as_ref()).map_err(|error| planning_error(&error))?;
        Ok(Bound { expression, data_type, canonical, is_json })
    }

    /// The column at a position, as an expression.
    pub(crate) fn column(&self, position: usize) -> Bound {
        let column = &self.columns[position];
        let name = datafusion_common::Column::new_unqualified(&column.name);
        Bound {
            expression: Expr::Column(name),
            data_type: column.data_type.clone(),
            canonical: column.canonical.clone(),
            is_json: true,
        }
    }

    /// Makes an expression run over batches of this scope's columns, by position.
    pub(crate) fn compile(&self, bound: &Bound) -> Result<Arc<dyn Expression>, String> {
        guarded(|| self.compile_unguarded(bound)).flatten()
    }

    fn compile_unguarded(&self, bound: &Bound) -> Result<Arc<dyn Expression>, String> {
        let physical = create_physical_expr(
            &bound.expression,
            &self.schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )
        .map_err(|error| planning_error(&error))?;
        let physical =
            arithmetic::exact(physical, self.schema.as_arrow()).map_err(|error| planning_error(&error))?;
        if !plugin::is_called(&bound.expression) {
            self.refuse_hopeless(&*physical)?;
        }
        let column =
            bound.column().and_then(|name| self.columns.iter().position(|column| column.name == name));
        let names = bound.columns();
        let is_read = |position: &usize| names.contains(&self.columns[*position].name);
        Ok(Arc::new(Compiled {
            reads: (0..self.columns.len()).filter(is_read).collect(),
            physical,
            data_type: bound.data_type.clone(),
            canonical: bound.canonical.clone(),
            column,
        }))
    }

    /// Refuses what fails over no row at all: it would fail over each.
    fn refuse_hopeless(&self, physical: &dyn PhysicalExpr) -> Result<(), String> {
        match physical.evaluate(&RecordBatch::new_empty(self.schema.inner().clone())) {
            // Some functions count their rows wrongly where there is none.
            Ok(_) | Err(DataFusionError::Internal(_)) => Ok(()),
            Err(error) => Err(evaluation_error(&error).to_string()),
        }
    }
}

/// An expression that runs.
#[derive(Debug)]
struct Compiled {
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    canonical: String,
    reads: Vec<usize>,
    column: Option<usize>,
}

impl Expression for Compiled {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
        if let Some(column) = self.column {
            return batch.columns().get(column).cloned().ok_or_else(|| {
                let columns = batch.num_columns();
                ExpressionError::Broken(format!("column {column} was asked of a batch of {columns} columns"))
            });
        }
        let evaluated =
            guarded(|| self.physical.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())));
        let values = evaluated.map_err(ExpressionError::Rows)?.and_then(arithmetic::checked_digits);
        let values = values.map_err(|error| evaluation_error(&error))?;
        moments::check(&values).map_err(ExpressionError::Rows)?;
        Ok(values)
    }

    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn canonical(&self) -> &str {
        &self.canonical
    }

    fn reads(&self) -> &[usize] {
        &self.reads
    }

    fn as_column(&self) -> Option<usize> {
        self.column
    }
}
