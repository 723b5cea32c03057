/*
 * src/access/settings.h
 *		Settings behind the decision's defaults.
 */
#ifndef SMART_FHIR_ACCESS_SETTINGS_H
#define SMART_FHIR_ACCESS_SETTINGS_H

#include "fhir/fhir.h"

/* smart_fhir.compartment */
extern FhirReading access_default_reading(void);

#endif /* SMART_FHIR_ACCESS_SETTINGS_H */
