//! Derived features: computed over whole columns when they are asked for, of what was found and of what the request says.
//! One code for lookups and for training, so that both have one value.
//!
//! Must not know where a request came from, what a value's window is, or how it is written.

use crate::keyed::outputs::value_or_null;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema};
use arrow_select::concat::concat;
use arrow_select::filter::filter;
use arrow_select::interleave::interleave;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_plan::{DerivedFeature, DerivedInput, Expression, ExpressionError, JobPlan};

/// What derived features are computed of: a column with a row for each that is asked about, and why some have none.
#[derive(Debug, Clone)]
pub struct Given {
    /// The values.
    pub values: ArrayRef,
    /// Rows that have none, with the reasons; a null is a value.
    pub failed: BTreeMap<usize, String>,
}

/// A derived feature for several rows.
#[derive(Debug)]
pub struct Derived {
    /// The values, null where there is none.
    pub values: ArrayRef,
    /// Rows that have the default that the definition gives for null.
    pub defaults: Vec<bool>,
    /// Rows that could not be computed, with the reasons.
    pub failed: BTreeMap<usize, String>,
}

/// What calls gave that several derived features are parts of, for the rows at hand.
#[derive(Debug, Default)]
pub struct Called(BTreeMap<usize, Given>);

/// A derived feature of a plan, ready to be computed.
#[derive(Debug, Clone)]
pub struct Deriving {
    /// What it is computed of.
    inputs: Vec<DerivedInput>,
    /// The call that it is a part of, by its index in the plan.
    call: Option<(usize, Computing)>,
    /// Its value, over what the call gives or over its inputs.
    value: Computing,
    /// A row of what stands in for null.
    default: Option<ArrayRef>,
}

/// An expression, with the names and types of what it is bound to.
#[derive(Debug, Clone)]
struct Computing {
    expression: Arc<dyn Expression>,
    schema: Arc<Schema>,
}

impl Given {
    /// Of a value for each row: a column of one, in this type or another layout of it, nothing where it is null, or why there
    /// is none.
    pub fn of_each(
        data_type: &DataType,
        each: impl IntoIterator<Item = Result<Option<ArrayRef>, String>>,
    ) -> Given {
        let null = new_null_array(data_type, 1);
        let (mut values, mut failed) = (Vec::new(), BTreeMap::new());
        for (row, value) in each.into_iter().enumerate() {
            let typed = value.and_then(|value| match value {
                Some(value) => of_type(&value, data_type).map_err(|error| error.to_string()),
                None => Ok(null.clone()),
            });
            values.push(typed.unwrap_or_else(|reason| {
                failed.insert(row, reason);
                null.clone()
            }));
        }
        let rows = values.len();
        let values = match values.as_slice() {
            [] => Ok(new_null_array(data_type, 0)),
            [only] => Ok(only.clone()),
            _ => concat(&values.iter().map(|value| &**value).collect::<Vec<_>>()),
        };
        let values = values.unwrap_or_else(|error| {
            failed.extend((0..rows).map(|row| (row, error.to_string())));
            new_null_array(data_type, rows)
        });
        Given { values, failed }
    }
}

impl Deriving {
    /// A derived feature of this plan; `default` is a row of what its definition gives for null.
    pub fn of(plan: &JobPlan, feature: &DerivedFeature, default: Option<ArrayRef>) -> Deriving {
        let field = |input: &DerivedInput| Field::new(plan.name_of(*input), input_type(plan, *input), true);
        let fields: Vec<Field> = feature.inputs.iter().map(field).collect();
        let inputs = Arc::new(Schema::new(fields));
        let expression = feature.expression.clone();
        let call = feature.call.and_then(|at| Some((at, plan.transform.calls.get(at)?.clone())));
        let (call, schema) = match call {
            Some((at, call)) => {
                let given = Field::new("called", call.data_type().clone(), true);
                (
                    Some((at, Computing { expression: call, schema: inputs })),
                    Arc::new(Schema::new(vec![given])),
                )
            }
            None => (None, inputs),
        };
        Deriving { inputs: feature.inputs.clone(), call, value: Computing { expression, schema }, default }
    }

    /// What it is computed of, in the order of its inputs.
    pub fn inputs(&self) -> &[DerivedInput] {
        &self.inputs
    }

    /// The type of its values.
    pub fn data_type(&self) -> &DataType {
        self.value.expression.data_type()
    }

    /// The type in which it is handed an input of its own.
    pub fn input_type(&self, input: DerivedInput) -> &DataType {
        let schema = self.call.as_ref().map_or(&self.value.schema, |(_, call)| &call.schema);
        let at = self.inputs.iter().position(|own| *own == input);
        at.map_or(&DataType::Null, |at| schema.field(at).data_type())
    }

    /// Computes it for so many rows; `given` are its inputs, in their order, and `called` what the plan's calls gave for these
    /// very rows, or nothing yet. A row of which one input has no value has none either, nor has one of those that are known to
    /// fail: the expression is not asked for them.
    pub fn compute(
        &self,
        given: &[&Given],
        rows: usize,
        failed: BTreeMap<usize, String>,
        called: &mut Called,
    ) -> Derived {
        let Some((at, call)) = &self.call else {
            return self.value.compute(given, rows, failed, self.default.as_ref());
        };
        let made = called.0.entry(*at).or_insert_with(|| {
            let Derived { values, failed, .. } = call.compute(given, rows, failed.clone(), None);
            Given { values, failed }
        });
        self.value.compute(&[made], rows, failed, self.default.as_ref())
    }
}

impl Computing {
    /// The values for so many rows, and `default` where one is null.
    fn compute(
        &self,
        given: &[&Given],
        rows: usize,
        mut failed: BTreeMap<usize, String>,
        default: Option<&ArrayRef>,
    ) -> Derived {
        for (row, reason) in given.iter().flat_map(|given| &given.failed) {
            failed.entry(*row).or_insert_with(|| reason.clone());
        }
        let asked: Vec<usize> = (0..rows).filter(|row| !failed.contains_key(row)).collect();
        let data_type = self.expression.data_type();
        let values = match self.evaluate(given, &asked, rows) {
            Ok((values, reasons)) => {
                failed.extend(reasons.into_iter().map(|(at, reason)| (asked[at], reason)));
                values
            }
            Err(error) => {
                failed.extend(asked.iter().map(|row| (*row, error.to_string())));
                new_null_array(data_type, asked.len())
            }
        };
        placed((&values, default), &asked, rows, failed)
    }

    /// The expression's values for these rows, and those of them that fail alone.
    fn evaluate(
        &self,
        given: &[&Given],
        asked: &[usize],
        rows: usize,
    ) -> Result<(ArrayRef, BTreeMap<usize, String>), ExpressionError> {
        if asked.is_empty() {
            return Ok((new_null_array(self.expression.data_type(), 0), BTreeMap::new()));
        }
        let failed = |error: arrow_schema::ArrowError| ExpressionError::Broken(error.to_string());
        let some = (asked.len() < rows).then(|| {
            let mut kept = vec![false; rows];
            asked.iter().for_each(|row| kept[*row] = true);
            BooleanArray::from(kept)
        });
        let mut columns = Vec::with_capacity(given.len());
        for (given, field) in given.iter().zip(self.schema.fields()) {
            let values =
                some.as_ref().map_or_else(|| Ok(given.values.clone()), |some| filter(&given.values, some));
            columns.push(of_type(&values.map_err(failed)?, field.data_type()).map_err(failed)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(asked.len()));
        let batch =
            RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(failed)?;
        value_or_null(&*self.expression, &batch)
    }
}

/// Puts the values of the rows that were asked about into their places, and the default where it stands in.
fn placed(
    (values, default): (&ArrayRef, Option<&ArrayRef>),
    asked: &[usize],
    rows: usize,
    mut failed: BTreeMap<usize, String>,
) -> Derived {
    let mut defaults = vec![false; rows];
    if default.is_some() {
        for (at, row) in asked.iter().enumerate() {
            defaults[*row] = values.is_null(at) && !failed.contains_key(row);
        }
    }
    if asked.len() == rows && !defaults.contains(&true) {
        return Derived { values: values.clone(), defaults, failed };
    }
    let null = new_null_array(values.data_type(), 1);
    let default = default.unwrap_or(&null);
    let mut places = vec![(2, 0); rows];
    for (at, row) in asked.iter().enumerate() {
        places[*row] = if defaults[*row] { (1, 0) } else { (0, at) };
    }
    let placed = interleave(&[&**values, &**default, &*null], &places);
    let values = placed.unwrap_or_else(|error| {
        failed.extend((0..rows).map(|row| (row, error.to_string())));
        new_null_array(values.data_type(), rows)
    });
    Derived { values, defaults, failed }
}

/// The type in which derived features are handed what they are computed of.
pub fn input_type(plan: &JobPlan, input: DerivedInput) -> DataType {
    let data_type = match input {
        DerivedInput::Key(at) => plan.stage.as_ref().and_then(|stage| stage.key_types.get(at).cloned()),
        DerivedInput::Stored(at) => plan.features.get(at).map(|feature| feature.data_type.to_arrow()),
        DerivedInput::Request(at) => plan.transform.request.get(at).map(|field| field.data_type.to_arrow()),
    };
    data_type.unwrap_or(DataType::Null)
}

/// Values in a type that their own is another layout of: lists as lists, whose items are not coded by a dictionary.
pub fn of_type(values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, arrow_schema::ArrowError> {
    if values.data_type() == data_type {
        return Ok(values.clone());
    }
    match values.data_type() {
        // Its items are what `cast` would not look at.
        DataType::ListView(item) => {
            let list = cast(values, &DataType::List(item.clone()))?;
            if list.data_type() == data_type { Ok(list) } else { cast(&list, data_type) }
        }
        _ => cast(values, data_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int32Type, Int64Type};
    use arrow_array::{
        DictionaryArray, Float64Array, Int32Array, Int64Array, ListViewArray, StringViewArray,
    };
    use weir_plan::{BuiltIns, ProjectFiles};

    const JOB: &str = "
query: |
  SELECT user_id, SUM(fare) AS spent, COUNT(*) AS rides, TOP(2, user_id) AS last
  FROM rides GROUP BY user_id, TUMBLE(at, INTERVAL '1' HOUR)
request: {amount: double, count: bigint}
transform:
  ratio: amount / spent
  each: count / rides
  first: last[1]
  one: 1 + 0
";

    fn plan() -> JobPlan {
        let stream =
            "fields: {user_id: string, fare: double, at: timestamp}\nevent_time: at\nsource: {batches: {}}\n";
        let texts: ProjectFiles =
            [("streams/rides.yaml", stream), ("jobs/spend.yaml", JOB)].into_iter().collect();
        let mut planned =
            weir_project::plan(&texts, &|_: &str| None, &weir_project::AnyConnectors, &BuiltIns);
        assert!(planned.errors().next().is_none(), "{:?}", planned.diagnostics);
        planned.jobs.remove(0)
    }

    fn deriving(name: &str, default: Option<ArrayRef>) -> Deriving {
        let plan = plan();
        let feature = plan.transform.features.iter().find(|feature| feature.name == name).unwrap();
        Deriving::of(&plan, feature, default)
    }

    fn given(values: impl Array + 'static) -> Given {
        Given { values: Arc::new(values), failed: BTreeMap::new() }
    }

    fn reasons(derived: &Derived) -> Vec<(usize, &str)> {
        derived.failed.iter().map(|(row, reason)| (*row, reason.as_str())).collect()
    }

    #[test]
    fn a_row_that_fails_fails_alone_and_null_has_the_default() {
        let default: ArrayRef = Arc::new(Float64Array::from(vec![-1.0]));
        let spent = given(Float64Array::from(vec![Some(4.0), Some(0.0), None, Some(2.0), Some(1.0)]));
        let mut amount = given(Float64Array::from(vec![Some(10.0), Some(1.0), Some(1.0), None, Some(1.0)]));
        amount.failed.insert(4, "it is missing".to_owned());
        let values = |derived: &Derived| -> Vec<Option<f64>> {
            derived.values.as_primitive::<Float64Type>().iter().collect()
        };
        for (default, expected, stands_in) in
            [(Some(default), Some(-1.0), [2, 3].as_slice()), (None, None, &[])]
        {
            let derived = deriving("ratio", default).compute(
                &[&spent, &amount],
                5,
                BTreeMap::new(),
                &mut Called::default(),
            );
            assert_eq!(values(&derived), [Some(2.5), None, expected, expected, None]);
            let defaults: Vec<usize> = (0..5).filter(|row| derived.defaults[*row]).collect();
            assert_eq!(defaults, stands_in);
            let found = reasons(&derived);
            assert_eq!((found.len(), found[0].0, found[1]), (2, 1, (4, "it is missing")));
            assert!(found[0].1.contains("zero"), "{found:?}");
        }
    }

    #[test]
    fn nothing_is_computed_of_rows_that_are_known_to_fail() {
        let column = || given(Int64Array::from(vec![0, 0]));
        let known = BTreeMap::from([(0, "before".to_owned()), (1, "before".to_owned())]);
        let derived =
            deriving("each", None).compute(&[&column(), &column()], 2, known, &mut Called::default());
        assert_eq!((derived.values.null_count(), reasons(&derived)), (2, vec![(0, "before"), (1, "before")]));
        let none = given(Int64Array::from(Vec::<i64>::new()));
        assert_eq!(
            deriving("each", None)
                .compute(&[&none, &none], 0, BTreeMap::new(), &mut Called::default())
                .values
                .len(),
            0
        );
    }

    #[test]
    fn what_reads_nothing_has_its_value_in_every_row() {
        let derived = deriving("one", None).compute(
            &[],
            3,
            BTreeMap::from([(1, "no".to_owned())]),
            &mut Called::default(),
        );
        assert_eq!(
            derived.values.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
            [Some(1), None, Some(1)]
        );
    }

    #[test]
    fn lists_come_in_the_layout_of_timelines() {
        let words: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b"]));
        let coded: DictionaryArray<Int32Type> = DictionaryArray::new(Int32Array::from(vec![1, 0]), words);
        let item = Arc::new(Field::new("item", coded.data_type().clone(), true));
        let lists = ListViewArray::new(item, vec![0, 1].into(), vec![2, 1].into(), Arc::new(coded), None);
        let plan = plan();
        let last = plan.transform.features[2].inputs[0];
        let each = (0..2).map(|row| Ok(Some(Arc::new(lists.slice(row, 1)) as ArrayRef)));
        let given = Given::of_each(&input_type(&plan, last), each);
        let derived = deriving("first", None).compute(&[&given], 2, BTreeMap::new(), &mut Called::default());
        let words: Vec<_> = derived.values.as_string_view().iter().collect();
        assert_eq!(words, [Some("b"), Some("a")]);
    }

    #[test]
    fn values_one_by_one_are_a_column() {
        let each = [
            Ok(Some(Arc::new(Int64Array::from(vec![7])) as ArrayRef)),
            Ok(None),
            Err("no".to_owned()),
            Ok(Some(Arc::new(StringViewArray::from(vec!["x"])) as ArrayRef)),
        ];
        let given = Given::of_each(&DataType::Int64, each);
        assert_eq!(
            given.values.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
            [Some(7), None, None, None]
        );
        assert_eq!(given.failed.get(&2).map(String::as_str), Some("no"));
        assert_eq!(Given::of_each(&DataType::Int64, []).values.len(), 0);
    }
}
