//! `m['k']`, `a[1]`, `r.name`, `element_at(..)`: one value of a map, a list or a row.
//!
//! A key that a map has not, or a position beyond a list, is null. Must not know a query.

use super::{Own, own};
use crate::expressions::type_name;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, MapArray, UInt32Array};
use arrow_schema::DataType;
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion_expr::{Expr, ExprSchemable, GetFieldAccess};
use datafusion_functions::core::expr_fn::get_field;
use datafusion_functions_nested::expr_fn::{array_element, array_slice};

const MAP_VALUE: &str = "map_value";

pub(super) const FUNCTIONS: [Own; 1] = [Own {
    name: MAP_VALUE,
    told: Some((
        "m['key'], a[1], r['name']",
        "a value of a map, of an array (counted from 1) or of a row; null where there is none",
    )),
    takes: "a map and a key of its kind",
    arguments: |given| match given {
        [map @ DataType::Map(..), key] => {
            let of_map = key_type(map)?;
            let fits = key.is_null()
                || (key.is_string() && of_map.is_string())
                || (key.is_numeric() && of_map.is_numeric())
                || *key == of_map;
            fits.then(|| vec![map.clone(), of_map])
        }
        _ => None,
    },
    result: |types, _| {
        let value = types.first().and_then(value_type);
        value.ok_or_else(|| DataFusionError::Plan("a map has keys and values".to_owned()))
    },
    call: |call| value(call.array(0)?.as_map(), &call.array(1)?),
}];

fn entry_types(map: &DataType) -> Option<(DataType, DataType)> {
    match map {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                Some((fields[0].data_type().clone(), fields[1].data_type().clone()))
            }
            _ => None,
        },
        _ => None,
    }
}

fn key_type(map: &DataType) -> Option<DataType> {
    entry_types(map).map(|(key, _)| key)
}

fn value_type(map: &DataType) -> Option<DataType> {
    entry_types(map).map(|(_, value)| value)
}

/// The value that each row's key has in its map.
fn value(maps: &MapArray, keys: &ArrayRef) -> Result<ArrayRef> {
    let is_key = equality(maps.keys(), keys)?;
    let offsets = maps.value_offsets();
    let found: Vec<Option<u32>> = (0..maps.len())
        .map(|row| {
            if maps.is_null(row) || keys.is_null(row) {
                return None;
            }
            // Of a key that stands there twice the last, as in JSON.
            (offsets[row]..offsets[row + 1])
                .rev()
                .find(|entry| is_key(*entry as usize, row))
                .map(|it| it as u32)
        })
        .collect();
    Ok(arrow_select::take::take(maps.values(), &UInt32Array::from(found), None)?)
}

/// Whether the entry of a map at one position has the key at another.
fn equality<'k>(
    of_maps: &'k ArrayRef,
    wanted: &'k ArrayRef,
) -> Result<Box<dyn Fn(usize, usize) -> bool + 'k>> {
    if let (Some(left), Some(right)) = (of_maps.as_string_view_opt(), wanted.as_string_view_opt()) {
        return Ok(Box::new(|entry, row| left.value(entry) == right.value(row)));
    }
    if let (Some(left), Some(right)) =
        (of_maps.as_primitive_opt::<Int64Type>(), wanted.as_primitive_opt::<Int64Type>())
    {
        return Ok(Box::new(|entry, row| left.value(entry) == right.value(row)));
    }
    let values = |keys: &ArrayRef| {
        (0..keys.len()).map(|at| ScalarValue::try_from_array(keys, at)).collect::<Result<Vec<_>>>()
    };
    let (left, right) = (values(of_maps)?, values(wanted)?);
    Ok(Box::new(move |entry, row| left[entry] == right[row]))
}

/// Plans `x['k']`, `x[1]` and `x[1:2]` by what x is.
#[derive(Debug)]
pub(crate) struct ContainerPlanner;

impl ExprPlanner for ContainerPlanner {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { expr: of, field_access } = access;
        let of_type = of.get_type(schema)?;
        let planned = match (&of_type, field_access) {
            (DataType::Map(..), GetFieldAccess::NamedStructField { name }) => {
                map_value(of, Expr::Literal(name, None))
            }
            (DataType::Map(..), GetFieldAccess::ListIndex { key }) => map_value(of, *key),
            (DataType::Struct(fields), GetFieldAccess::NamedStructField { name }) => {
                let name = name.try_as_str().flatten().unwrap_or_default().to_owned();
                if fields.find(&name).is_none() {
                    let known: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
                    let message =
                        format!("the row has no member `{name}`; its members are {}", known.join(", "));
                    return Err(DataFusionError::Plan(message));
                }
                get_field(of, name)
            }
            (DataType::List(_) | DataType::LargeList(_), GetFieldAccess::ListIndex { key })
                if key.get_type(schema)?.is_integer() =>
            {
                check_position(&key)?;
                array_element(of, *key)
            }
            (
                DataType::List(_) | DataType::LargeList(_),
                GetFieldAccess::ListRange { start, stop, stride },
            ) => array_slice(of, *start, *stop, Some(*stride)),
            (DataType::List(_) | DataType::LargeList(_), _) => {
                let message = "the values of an array are counted from 1; write a whole number, as in a[1]";
                return Err(DataFusionError::Plan(message.to_owned()));
            }
            (other, _) => {
                let message = format!(
                    "a value of type {} has no members; [..] takes a value out of a map, an array or a row",
                    type_name(other)
                );
                return Err(DataFusionError::Plan(message));
            }
        };
        Ok(PlannerResult::Planned(planned))
    }
}

/// Refuses a constant that is not the position of any value.
fn check_position(key: &Expr) -> Result<()> {
    let (number, sign) = match key {
        Expr::Negative(inner) => (&**inner, -1),
        key => (key, 1),
    };
    let Expr::Literal(ScalarValue::Int64(Some(number)), _) = number else { return Ok(()) };
    let position = number.saturating_mul(sign);
    if position > 0 {
        return Ok(());
    }
    let message = format!(
        "the values of an array are counted from 1, so [{position}] is none of them; write a[1] for the first, \
         a[CARDINALITY(a)] for the last"
    );
    Err(DataFusionError::Plan(message))
}

fn map_value(map: Expr, key: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(own(MAP_VALUE), vec![map, key]))
}
