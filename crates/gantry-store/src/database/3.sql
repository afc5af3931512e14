-- A patch has on the disk only what differs from another layer, which is whole: from this one.
ALTER TABLE layers ADD COLUMN patch_of BLOB;
