"""What becomes of masks on their way through polygons: boxmask's formats beside ultralytics' converter."""
