//! Makes a component of a core WebAssembly module, and says what it exports and asks for. Knows nothing of
//! compilers; `build` calls it.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use wit_component::{ComponentEncoder, DecodedWasm};

/// All that a plugin may import.
const ALLOWED_IMPORTS: &str = "weir:";

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [module, component] = paths.as_slice() else {
        eprintln!("usage: componentize MODULE.wasm COMPONENT.wasm");
        return ExitCode::from(1);
    };
    match componentize(Path::new(module), Path::new(component)) {
        Ok(summary) => {
            eprintln!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{module}: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn componentize(module: &Path, target: &Path) -> Result<String, Box<dyn Error>> {
    let module = fs::read(module)?;
    let component = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    let interfaces = Interfaces::of(&component)?;
    if interfaces.exports.is_empty() {
        return Err("exports no interface; name the functions in `weir::export!`".into());
    }
    if let Some(foreign) = interfaces.imports.iter().find(|name| !name.starts_with(ALLOWED_IMPORTS)) {
        return Err(format!("imports {foreign}; a plugin may import weir:* only").into());
    }
    if fs::read(target).is_ok_and(|existing| existing == component) {
        return Ok(interfaces.describe(component.len(), "unchanged"));
    }
    // Written aside first, so that nobody ever loads half a component.
    let aside = target.with_extension("wasm.part");
    fs::write(&aside, &component)?;
    fs::rename(&aside, target)?;
    Ok(interfaces.describe(component.len(), "written"))
}

/// The names at a component's boundary.
struct Interfaces {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Interfaces {
    fn of(component: &[u8]) -> Result<Self, Box<dyn Error>> {
        let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
            return Err("came out as a package, not as a component".into());
        };
        let world = &resolve.worlds[world];
        let imports = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
        let exports = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
        Ok(Interfaces { imports, exports })
    }

    fn describe(&self, size_bytes: usize, outcome: &str) -> String {
        let (exports, imports) = (self.exports.join(", "), self.imports.join(", "));
        format!("{outcome}, {size_bytes} bytes; exports {exports}; imports {imports}")
    }
}
