//! Devices as Intune manages them.

use graph::{Request, types};
use model::{Feature, inventory::ManagedDeviceRow};

use crate::Collector;

pub(crate) struct ManagedDevices;

impl Collector for ManagedDevices {
    const NAME: &'static str = "managed_devices";
    const PERMISSION: &'static str = "DeviceManagementManagedDevices.Read.All";
    const FEATURE: Option<Feature> = Some(Feature::ManagedDevices);
    type Wire = types::ManagedDevice;
    type Row = ManagedDeviceRow;

    fn request() -> Request {
        Request::get("/deviceManagement/managedDevices")
            .select(types::ManagedDevice::SELECT)
            .top(999)
    }

    fn normalise(wire: types::ManagedDevice) -> Option<ManagedDeviceRow> {
        Some(ManagedDeviceRow {
            id: wire.id,
            display_name: wire.device_name,
            device_id: wire.azure_ad_device_id,
            user_principal_name: wire.user_principal_name,
            operating_system: wire.operating_system,
            os_version: wire.os_version,
            compliance_state: wire.compliance_state,
            owner_type: wire.managed_device_owner_type,
            management_agent: wire.management_agent,
            is_encrypted: wire.is_encrypted,
            jail_broken: wire.jail_broken,
            manufacturer: wire.manufacturer,
            model: wire.model,
            serial_number: wire.serial_number,
            enrolled_at: super::real(wire.enrolled_date_time),
            last_sync_at: super::real(wire.last_sync_date_time),
        })
    }
}
