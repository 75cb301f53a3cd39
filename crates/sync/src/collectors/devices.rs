//! Devices that are joined or registered.

use graph::{Request, types};
use model::{Feature, inventory::DeviceRow};

use crate::Collector;

pub(crate) struct Devices;

impl Collector for Devices {
    const NAME: &'static str = "devices";
    const PERMISSION: &'static str = "Device.Read.All";
    const FEATURE: Option<Feature> = Some(Feature::Devices);
    type Wire = types::Device;
    type Row = DeviceRow;

    fn request() -> Request {
        Request::get("/devices")
            .select(types::Device::SELECT)
            .top(999)
    }

    fn changes() -> Option<Request> {
        Some(Request::get("/devices/delta").select(types::Device::SELECT))
    }

    fn normalise(wire: types::Device) -> Option<DeviceRow> {
        Some(DeviceRow {
            id: wire.id,
            display_name: wire.display_name,
            device_id: wire.device_id,
            operating_system: wire.operating_system,
            operating_system_version: wire.operating_system_version,
            manufacturer: wire.manufacturer,
            model: wire.model,
            trust_type: wire.trust_type,
            is_compliant: wire.is_compliant,
            is_managed: wire.is_managed,
            account_enabled: wire.account_enabled,
            last_sign_in_at: wire.approximate_last_sign_in_date_time.map(Into::into),
            registered_at: wire.registration_date_time.map(Into::into),
        })
    }
}
