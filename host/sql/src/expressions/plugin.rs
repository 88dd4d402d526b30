//! A plugin's scalar function as the expression library calls it.
//!
//! Knows the catalog's trait. Must not know what runs a plugin.

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use datafusion_common::tree_node::TreeNode;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use weir_plan::ScalarFunction;

#[derive(Debug)]
struct PluginFunction {
    function: Arc<dyn ScalarFunction>,
    signature: Signature,
}

/// Wraps a plugin's function.
pub(super) fn function(function: Arc<dyn ScalarFunction>) -> ScalarUDF {
    // Called volatile so that planning never folds a call of constants: planning runs no plugin.
    let signature = Signature::exact(function.arguments().to_vec(), Volatility::Volatile);
    ScalarUDF::new_from_impl(PluginFunction { function, signature })
}

/// What makes the values of a function, if it is a plugin's.
pub(super) fn identity(function: &ScalarUDF) -> Option<&str> {
    let any: &dyn Any = function.inner().as_ref();
    any.downcast_ref::<PluginFunction>().map(|plugin| plugin.function.identity())
}

/// Whether a function is a plugin's, and gives a row for each.
pub(super) fn gives_rows(function: &ScalarUDF) -> bool {
    let any: &dyn Any = function.inner().as_ref();
    let plugin = any.downcast_ref::<PluginFunction>();
    plugin.is_some_and(|plugin| matches!(plugin.function.result(), DataType::Struct(_)))
}

/// Whether an expression calls a plugin.
pub(super) fn is_called(expression: &Expr) -> bool {
    let calls =
        |node: &Expr| Ok(matches!(node, Expr::ScalarFunction(call) if identity(&call.func).is_some()));
    expression.exists(calls).unwrap_or(true)
}

impl PartialEq for PluginFunction {
    fn eq(&self, other: &Self) -> bool {
        self.function.identity() == other.function.identity()
    }
}

impl Eq for PluginFunction {}

impl Hash for PluginFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.identity().hash(state);
    }
}

impl ScalarUDFImpl for PluginFunction {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _argument_types: &[DataType]) -> Result<DataType> {
        Ok(self.function.result().clone())
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = call.number_rows;
        let arguments: Vec<ArrayRef> =
            call.args.into_iter().map(|argument| argument.into_array(rows)).collect::<Result<_>>()?;
        let result = self.function.call(&arguments, rows);
        let result = result.map_err(|error| DataFusionError::External(Box::new(error)))?;
        if result.len() != rows || result.data_type() != self.function.result() {
            return Err(DataFusionError::Execution(format!(
                "{} gave {} values of type {} for {rows} rows, and not {}",
                self.function.name(),
                result.len(),
                result.data_type(),
                self.function.result()
            )));
        }
        Ok(ColumnarValue::Array(result))
    }
}
