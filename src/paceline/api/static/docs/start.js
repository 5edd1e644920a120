"use strict";

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#description",
  deepLinking: true,
  // A badge would be fetched from another site.
  validatorUrl: null,
});
